'use strict'
// A relay for its host through one next hop; nothing is looked up.

exports.register = function () {
  const { main } = this.config.get('bench.ini', { booleans: ['main.everybody'] })
  this.port = Number(main.next_hop)
  this.everybody = main.everybody
}

exports.hook_lookup_rdns = (next) => next(OK, 'client.bench.example')

exports.hook_connect = function (next, connection) {
  if (this.everybody) connection.relaying = true
  next()
}

exports.hook_rcpt = (next, connection) =>
  connection.relaying ? next(OK) : next(DENY, 'Authenticate first')

exports.hook_get_mx = function (next) {
  next(OK, { priority: 0, exchange: '127.0.0.1', port: this.port })
}

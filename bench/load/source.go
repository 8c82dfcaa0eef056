package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// order is what a source was told to send.
type order struct {
	address, login, password, from, to, mark string

	sessions, octets int
	messages         int64
	reuse, secure    bool
	implicit         bool
	every            time.Duration
}

// source sends what its flags say and ends; the first refusal ends it with status 1.
//
// For each marked message it prints the mark, when its connection (or, on a reused one, its transaction) began, and when it was
// acknowledged, in nanoseconds since the epoch.
func source(arguments []string) {
	var o order
	flags := flag.NewFlagSet("source", flag.ExitOnError)
	flags.StringVar(&o.address, "address", "", "where to")
	flags.StringVar(&o.login, "login", "", "authenticate as this one; empty for nobody")
	flags.StringVar(&o.password, "password", "", "its password")
	flags.StringVar(&o.from, "from", "a@bench.example", "sender")
	flags.StringVar(&o.to, "to", "b@bench.example", "recipient")
	flags.StringVar(&o.mark, "mark", "", "mark each message with this and its number, and say when it was acknowledged")
	flags.IntVar(&o.sessions, "sessions", 1, "clients at a time")
	flags.IntVar(&o.octets, "octets", 4096, "size of a message")
	flags.Int64Var(&o.messages, "messages", 0, "how many; 0 for as many as there is time for until the standard input ends")
	flags.BoolVar(&o.reuse, "reuse", false, "many messages a connection")
	flags.BoolVar(&o.secure, "secure", false, "STARTTLS")
	flags.BoolVar(&o.implicit, "implicit", false, "TLS from the first octet")
	flags.DurationVar(&o.every, "every", 0, "the pace of each session; 0 for none")
	flags.Parse(arguments)

	var ended atomic.Bool
	if o.messages == 0 {
		go func() { io.Copy(io.Discard, os.Stdin); ended.Store(true) }()
	}
	var sent atomic.Int64
	next := func() int64 { // the number of the next message; 0 when there is none
		number := sent.Add(1)
		if ended.Load() || o.messages > 0 && number > o.messages {
			return 0
		}
		return number
	}
	var sessions sync.WaitGroup
	for range o.sessions {
		sessions.Add(1)
		go func() { defer sessions.Done(); o.session(next) }()
	}
	sessions.Wait()
}

// session is one client after another, or one that stays.
func (o *order) session(next func() int64) {
	var kept *client
	due := time.Now()
	for number := next(); number > 0; number = next() {
		begin := time.Now()
		c := kept
		if c == nil {
			c = o.connect()
		}
		o.send(c, number)
		if o.mark != "" {
			fmt.Printf("%s%d %d %d\n", o.mark, number, begin.UnixNano(), time.Now().UnixNano())
		}
		if o.reuse {
			kept = c
		} else {
			c.quit()
		}
		due = due.Add(o.every)
		time.Sleep(time.Until(due))
	}
	if kept != nil {
		kept.quit()
	}
}

// connect opens a connection that may send.
func (o *order) connect() *client {
	connection, err := net.Dial("tcp", o.address)
	if err != nil {
		fail(err)
	}
	// No name to verify, and no session to resume: each connection is a full handshake, with the same key exchange for all relays.
	encrypted := tls.Client(connection, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, CurvePreferences: []tls.CurveID{tls.X25519},
	})
	c := newClient(connection)
	if o.implicit {
		c = newClient(encrypted)
	}
	c.expect("220")
	c.command("250", "EHLO source.bench.example")
	if o.secure && !o.implicit {
		c.command("220", "STARTTLS")
		c = newClient(encrypted)
		c.command("250", "EHLO source.bench.example")
	}
	if o.login != "" {
		c.command("235", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+o.login+"\x00"+o.password)))
	}
	return c
}

// send is one transaction; like smtp-source it waits for each reply.
func (o *order) send(c *client, number int64) {
	c.command("250", "MAIL FROM:<"+o.from+">")
	c.command("250", "RCPT TO:<"+o.to+">")
	c.command("354", "DATA")
	c.write(o.content(number))
	c.expect("250")
}

// content is a whole message of the size that was asked for, with its end of data.
func (o *order) content(number int64) []byte {
	var b bytes.Buffer
	b.Grow(o.octets + 128)
	fmt.Fprintf(&b, "From: <%s>\r\nTo: <%s>\r\nDate: %s\r\nMessage-Id: <%d.%d@source.bench.example>\r\n", o.from, o.to,
		time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), number)
	if o.mark != "" {
		fmt.Fprintf(&b, "%s%s%d\r\n", markHeader, o.mark, number)
	}
	b.WriteString("Subject: load\r\n\r\n")
	for line := strings.Repeat("X", 76) + "\r\n"; b.Len() < o.octets; {
		b.WriteString(line)
	}
	b.WriteString(".\r\n")
	return b.Bytes()
}

// client is the client's end of a connection.
type client struct {
	connection net.Conn
	replies    *bufio.Reader
}

func newClient(connection net.Conn) *client {
	return &client{connection, bufio.NewReader(connection)}
}

func (c *client) write(octets []byte) {
	if _, err := c.connection.Write(octets); err != nil {
		fail(err)
	}
}

func (c *client) command(code, line string) {
	c.write([]byte(line + "\r\n"))
	c.expect(code)
}

// expect reads a reply, with all its lines.
func (c *client) expect(code string) {
	acknowledge(c.connection)
	for {
		line, err := c.replies.ReadString('\n')
		if err != nil {
			fail(err)
		}
		if !strings.HasPrefix(line, code) {
			fail(fmt.Errorf("wanted %s and got: %s", code, strings.TrimSpace(line)))
		}
		if line[3] == ' ' || line[3] == '\r' {
			return
		}
	}
}

// acknowledge has the kernel acknowledge what has come and comes now without its delay of 40 ms, during which a server that writes
// twice and has Nagle's algorithm on waits: Postfix does after a handshake of TLS 1.3, whose tickets nobody answers. The figures
// are to be a relay's own, not those of two timers.
func acknowledge(connection net.Conn) {
	if secure, ok := connection.(*tls.Conn); ok {
		connection = secure.NetConn()
	}
	raw, err := connection.(*net.TCPConn).SyscallConn()
	if err != nil {
		fail(err)
	}
	raw.Control(func(descriptor uintptr) {
		syscall.SetsockoptInt(int(descriptor), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
	})
}

func (c *client) quit() {
	c.command("221", "QUIT")
	c.connection.Close()
}

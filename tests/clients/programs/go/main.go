// A client of Go's net/smtp: reads one job as JSON, sends its message, and says what the server said.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/smtp"
	"os"
)

type job struct {
	Host, Login, Password, Authority, Sender, Message string
	Port                                              int
	Implicit                                          bool
	Recipients                                        []string
}

func send(j job) error {
	pem, err := os.ReadFile(j.Authority)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trusted := &tls.Config{ServerName: j.Host, RootCAs: roots}
	address := fmt.Sprintf("%s:%d", j.Host, j.Port)
	var connection net.Conn
	if j.Implicit {
		connection, err = tls.Dial("tcp", address, trusted)
	} else {
		connection, err = net.Dial("tcp", address)
	}
	if err != nil {
		return err
	}
	client, err := smtp.NewClient(connection, j.Host)
	if err != nil {
		return err
	}
	defer client.Close()
	if !j.Implicit {
		if err = client.StartTLS(trusted); err != nil {
			return err
		}
	}
	if err = client.Auth(smtp.PlainAuth("", j.Login, j.Password, j.Host)); err != nil {
		return err
	}
	if err = client.Mail(j.Sender); err != nil {
		return err
	}
	for _, recipient := range j.Recipients {
		if err = client.Rcpt(recipient); err != nil {
			return err
		}
	}
	message, err := os.ReadFile(j.Message)
	if err != nil {
		return err
	}
	body, err := client.Data()
	if err != nil {
		return err
	}
	if _, err = body.Write(message); err != nil {
		return err
	}
	if err = body.Close(); err != nil {
		return err
	}
	return client.Quit()
}

func main() {
	var j job
	if err := json.NewDecoder(os.Stdin).Decode(&j); err != nil {
		panic(err)
	}
	if err := send(j); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// Reads a delivery status notification with Go's own parsers of mail and MIME, and says as JSON what it found.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"net/textproto"
	"os"
	"strings"
)

type found struct {
	From, To, Subject, Report string
	Text                      string
	Message                   map[string]string
	Recipients                []map[string]string
	Type                      string
	Returned                  map[string]string
	Content                   string
}

func flat(fields map[string][]string) map[string]string {
	flattened := map[string]string{}
	for name, values := range fields {
		flattened[name] = strings.Join(values, "\n")
	}
	return flattened
}

func status(part io.Reader) ([]map[string]string, error) {
	var groups []map[string]string
	reader := textproto.NewReader(bufio.NewReader(part))
	for {
		fields, err := reader.ReadMIMEHeader()
		if len(fields) > 0 {
			groups = append(groups, flat(fields))
		}
		if err == io.EOF {
			return groups, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func returned(said *found, part *multipart.Part) error {
	kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	octets, err := io.ReadAll(part)
	if err != nil {
		return err
	}
	said.Type = kind
	original, err := mail.ReadMessage(strings.NewReader(string(octets) + "\r\n\r\n"))
	if err != nil {
		return err
	}
	content, err := io.ReadAll(original.Body)
	said.Returned, said.Content = flat(original.Header), strings.TrimSpace(string(content))
	return err
}

func read(said *found) error {
	message, err := mail.ReadMessage(os.Stdin)
	if err != nil {
		return err
	}
	from, err := message.Header.AddressList("From")
	if err != nil {
		return err
	}
	to, err := message.Header.AddressList("To")
	if err != nil {
		return err
	}
	if _, err = message.Header.Date(); err != nil {
		return err
	}
	kind, parameters, err := mime.ParseMediaType(message.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" {
		return fmt.Errorf("%s: %v", kind, err)
	}
	said.From, said.To, said.Subject = from[0].Address, to[0].Address, message.Header.Get("Subject")
	said.Report = parameters["report-type"]
	parts := multipart.NewReader(message.Body, parameters["boundary"])
	for number := 0; ; number++ {
		part, err := parts.NextPart()
		if err == io.EOF && number == 3 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("part %d: %v", number, err)
		}
		switch number {
		case 0:
			var octets []byte
			octets, err = io.ReadAll(part)
			said.Text = string(octets)
		case 1:
			var groups []map[string]string
			if groups, err = status(part); err == nil {
				said.Message, said.Recipients = groups[0], groups[1:]
			}
		case 2:
			err = returned(said, part)
		}
		if err != nil {
			return fmt.Errorf("part %d: %v", number, err)
		}
	}
}

func main() {
	var said found
	if err := read(&said); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(said)
}

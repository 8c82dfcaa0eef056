package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"flag"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// server is a sink at work.
type server struct {
	taken  atomic.Int64
	marks  *os.File
	delay  time.Duration
	secure *tls.Config
}

const countEvery = 2 * time.Millisecond

// sink takes every message until it is ended.
//
// It prints the count of messages as smtp-sink does, and writes a line for each marked message: the mark, and when its end of data was
// there, in nanoseconds since the epoch.
func sink(arguments []string) {
	var s server
	flags := flag.NewFlagSet("sink", flag.ExitOnError)
	address := flags.String("address", "127.0.0.1:0", "where to listen")
	marks := flags.String("marks", os.DevNull, "file for the marks")
	certificate := flags.String("certificate", "", "offer STARTTLS and AUTH PLAIN (any login) with this certificate")
	key := flags.String("key", "", "its key")
	flags.DurationVar(&s.delay, "delay", 0, "the time that a message takes here until its 250")
	flags.Parse(arguments)

	var err error
	if s.marks, err = os.Create(*marks); err != nil {
		fail(err)
	}
	if *certificate != "" {
		pair, err := tls.LoadX509KeyPair(*certificate, *key)
		if err != nil {
			fail(err)
		}
		s.secure = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		fail(err)
	}
	go s.count()
	for {
		connection, err := listener.Accept()
		if err != nil {
			fail(err)
		}
		go s.serve(connection)
	}
}

func (s *server) count() {
	for shown := int64(0); ; time.Sleep(countEvery) {
		if now := s.taken.Load(); now != shown {
			shown = now
			fmt.Printf("mesg=%d\r", now)
		}
	}
}

// serve is one connection; a client that leaves ends it.
func (s *server) serve(connection net.Conn) {
	defer func() { connection.Close() }()
	in, out := bufio.NewReaderSize(connection, 1<<16), bufio.NewWriter(connection)
	out.WriteString("220 sink.bench.example ESMTP\r\n")
	for {
		if in.Buffered() == 0 && out.Flush() != nil {
			return
		}
		line, err := in.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return
		}
		switch verb := string(bytes.ToUpper(line[:4])); verb {
		case "EHLO":
			out.WriteString("250-sink.bench.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n")
			if s.secure != nil {
				out.WriteString("250-STARTTLS\r\n250-AUTH PLAIN\r\n")
			}
			out.WriteString("250 ENHANCEDSTATUSCODES\r\n")
		case "STAR":
			if s.secure == nil {
				out.WriteString("502 5.5.1 No certificate\r\n")
				continue
			}
			out.WriteString("220 2.0.0 Ready\r\n")
			out.Flush()
			connection = tls.Server(connection, s.secure)
			in, out = bufio.NewReaderSize(connection, 1<<16), bufio.NewWriter(connection)
		case "AUTH":
			out.WriteString("235 2.7.0 Welcome\r\n")
		case "DATA":
			out.WriteString("354 Go on\r\n")
			out.Flush()
			if !s.message(in) {
				return
			}
			out.WriteString("250 2.0.0 Taken\r\n")
		case "QUIT":
			out.WriteString("221 2.0.0 Bye\r\n")
			out.Flush()
			return
		default:
			out.WriteString("250 2.0.0 Fine\r\n")
		}
	}
}

// message takes one to its end of data; false when the client left before.
func (s *server) message(in *bufio.Reader) bool {
	mark := ""
	for {
		line, err := in.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return false
		}
		if len(line) == 3 && line[0] == '.' {
			break
		}
		if bytes.HasPrefix(line, []byte(markHeader)) {
			mark = string(bytes.TrimSpace(line[len(markHeader):]))
		}
	}
	if mark != "" {
		fmt.Fprintf(s.marks, "%s %d\n", mark, time.Now().UnixNano())
	}
	s.taken.Add(1)
	time.Sleep(s.delay)
	return true
}

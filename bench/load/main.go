// Command load makes mail and takes mail: what smtp-source and smtp-sink do not do.
//
//	load source   sends messages, through STARTTLS and AUTH PLAIN if asked, at full speed or at a pace, with marks if asked
//	load sink     takes messages, tells how many, and when each marked one arrived
//
// It uses the standard library only, and as little processor time as that allows: it shares the cores with what is measured.
package main

import (
	"fmt"
	"os"
)

// markHeader is the header field by which a sink knows a message again.
const markHeader = "X-Mark: "

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("say source or sink"))
	}
	switch os.Args[1] {
	case "source":
		source(os.Args[2:])
	case "sink":
		sink(os.Args[2:])
	default:
		fail(fmt.Errorf("no such part: %s", os.Args[1]))
	}
}

// fail ends the program: a load that is not what was asked for must not be measured.
func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

// Inventory is the whole story of crosstie in one program: a warehouse loads a catalogue and moves it into an org
// (batchsync), a shop asks for stock and reserves it over a network that loses answers (requestreply), an auditor and a
// notifier learn of each reservation although they are away for a while (fireforget), subscribers hear of it at their own
// pace (pubsub), a job forecasts what to order (remoteinvoke), and a page shows it all (uiupdate). With -once it plays
// the story, proves that nothing was lost or done twice, and exits; without, it serves the page until interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr, hooks{}))
}

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1
	exitUsage  = 2
)

// run is the program. What is asked for goes to stdout; how it goes, and what went wrong, to stderr.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer, h hooks) int {
	c, err := parseFlags(args, getenv, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		complain(stderr, err)
		return exitUsage
	}
	c.hooks = h
	if c.once {
		err = once(ctx, c, stdout, stderr)
	} else {
		err = serve(ctx, c, stdout, stderr)
	}
	if err != nil {
		complain(stderr, err)
		return exitFailed
	}
	return exitOK
}

// complain says what went wrong, on one line.
func complain(w io.Writer, err error) {
	fmt.Fprintln(w, "inventory:", strings.Join(strings.Fields(err.Error()), " "))
}

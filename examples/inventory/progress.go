package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// A progress shows how far a step is: a bar where it can be redrawn, one plain line a step elsewhere.
type progress struct {
	w   io.Writer
	bar bool

	mu    sync.Mutex // guards the rest
	name  string
	done  int64
	total int64
	began time.Time
	drawn time.Time
}

const (
	barWidth  = 28
	nameWidth = 10
	redraw    = 80 * time.Millisecond
)

func newProgress(w io.Writer) *progress { return &progress{w: w, bar: isTerminal(w)} }

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// start begins a step; total 0 says that its size is not known.
func (p *progress) start(name string, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.name, p.done, p.total, p.began, p.drawn = name, 0, total, time.Now(), time.Time{}
	p.draw()
}

// set says how much of the step is done.
func (p *progress) set(done int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done = done
	p.draw()
}

// of says how much of how much is done; total 0 says that it is not known.
func (p *progress) of(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done, p.total = done, total
	p.draw()
}

// add says that n more are done.
func (p *progress) add(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.done += n
	p.draw()
}

// end closes the step and says how it went.
func (p *progress) end(note string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear := ""
	if p.bar {
		clear = "\r\x1b[K"
	}
	fmt.Fprintf(p.w, "%s%-*s %s\n", clear, nameWidth, p.name, note)
	p.name = ""
}

// clear takes an unfinished bar off the line, so that something else can be said.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bar && p.name != "" {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
	p.name = ""
}

func (p *progress) draw() {
	now := time.Now()
	if !p.bar || p.name == "" || now.Sub(p.drawn) < redraw {
		return
	}
	p.drawn = now
	if p.total <= 0 {
		fmt.Fprintf(p.w, "\r\x1b[K%-*s %d", nameWidth, p.name, p.done)
		return
	}
	done := min(p.done, p.total)
	full := int(done * barWidth / p.total)
	fmt.Fprintf(p.w, "\r\x1b[K%-*s [%s%s] %3d%%", nameWidth, p.name,
		strings.Repeat("=", full), strings.Repeat(" ", barWidth-full), done*100/p.total)
}

//go:build unix

package uiupdate

import (
	"errors"
	"syscall"
)

const canTryWrite = true

// A tryWriter writes to connections without waiting. It keeps what its two
// functions need, so that a write allocates nothing. It is for one goroutine.
type tryWriter struct {
	p    []byte
	n    int
	err  error
	call func(fd uintptr) bool
}

// try writes what the system takes of p at once, and says how much that was.
func (w *tryWriter) try(c syscall.RawConn, p []byte) (int, error) {
	if w.call == nil {
		w.call = func(fd uintptr) bool {
			for {
				w.n, w.err = syscall.Write(int(fd), w.p)
				switch {
				case errors.Is(w.err, syscall.EINTR):
					continue
				case errors.Is(w.err, syscall.EAGAIN):
					w.n, w.err = 0, nil
				}
				return true // or the runtime would wait until it can be written
			}
		}
	}
	w.p = p
	err := c.Write(w.call)
	w.p = nil
	if err == nil {
		err = w.err
	}
	return max(w.n, 0), err
}

// ended says whether the client has closed its side, which nobody who only
// writes would be told.
func (w *tryWriter) ended(c syscall.RawConn) bool {
	over := false
	err := c.Read(func(fd uintptr) bool {
		var b [512]byte
		n, err := syscall.Read(int(fd), b[:])
		over = n == 0 && err == nil || err != nil && !errors.Is(err, syscall.EAGAIN) && !errors.Is(err, syscall.EINTR)
		return true
	})
	return err != nil || over
}

//go:build !unix

package uiupdate

import (
	"net/http"
	"syscall"
)

// Without a write that does not wait, each stream has a goroutine.
const canTryWrite = false

type tryWriter struct{}

func (*tryWriter) try(syscall.RawConn, []byte) (int, error) { return 0, http.ErrNotSupported }

func (*tryWriter) ended(syscall.RawConn) bool { return false }

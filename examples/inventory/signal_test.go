package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Whoever stops the service by a signal gets a clean end: the folder is free, and the exit code says that nothing broke.
func TestSignalsEndTheServiceCleanly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no way to send one process a signal")
	}
	dir := fastDir(t)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		var out console
		cmd := exec.Command(os.Args[0], childArg+whole, "-dir", dir, "-addr", "127.0.0.1:0")
		cmd.Stdout, cmd.Stderr = &out, &out
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		eventually(t, "it serves", func() bool { return strings.Contains(out.String(), "/status") || len(ended) > 0 })
		require.NoError(t, cmd.Process.Signal(sig))
		require.NoError(t, <-ended, out.String())
		require.Contains(t, out.String(), "stopping", sig.String())
	}
}

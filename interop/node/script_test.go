package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestMain(m *testing.M) {
	if err := ready(); err != nil {
		fmt.Fprintln(os.Stderr, "interop/node:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// ready says what is missing. Nothing is skipped: who runs these tests wants the
// word of others, and ours instead would be none.
func ready() error {
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("these tests need Node 20.19 or newer: %w", err)
	}
	installed, err := os.Stat(filepath.Join("node_modules", ".package-lock.json"))
	if err != nil {
		return fmt.Errorf("run make interop-node, which installs what package-lock.json names: %w", err)
	}
	locked, err := os.Stat("package-lock.json")
	if err != nil {
		return err
	}
	if installed.ModTime().Before(locked.ModTime()) {
		return fmt.Errorf("package-lock.json has changed since it was installed: run make interop-node")
	}
	return nil
}

// A script is one that runs.
type script struct {
	t     *testing.T
	name  string
	stdin io.Closer
	said  *json.Decoder
	wait  func() error
	noise bytes.Buffer // what it wrote to stderr; not read before wait has returned
}

// begin runs a script with a value for its input. It ends at the latest with
// the test.
func begin(t *testing.T, name string, input any) *script {
	t.Helper()
	in, err := json.Marshal(input)
	require.NoError(t, err)
	// Not t.Context alone, which ends before a server is told to.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	cmd := exec.CommandContext(ctx, "node", name)
	s := &script{t: t, name: name}
	cmd.Stderr = &s.noise
	// No proxy: all addresses are of this machine.
	for _, v := range os.Environ() {
		if key, _, _ := strings.Cut(v, "="); !strings.HasSuffix(strings.ToLower(key), "_proxy") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "INTEROP_INPUT="+string(in))
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	s.stdin, s.said = stdin, json.NewDecoder(stdout)
	require.NoError(t, cmd.Start())
	done := false
	s.wait = func() error {
		if done {
			return nil
		}
		done = true
		_ = stdin.Close()
		defer cancel()
		_, _ = io.Copy(io.Discard, stdout)
		return cmd.Wait()
	}
	t.Cleanup(func() { _ = s.wait() })
	return s
}

// says reads the next value that the script says.
func (s *script) says(v any) {
	s.t.Helper()
	if err := s.said.Decode(v); err != nil {
		require.NoError(s.t, s.wait(), "%s: %s", s.name, &s.noise)
		require.NoError(s.t, err, "%s said something else", s.name)
	}
}

// end tells the script to end, reads its last value, and waits.
func (s *script) end(v any) {
	s.t.Helper()
	require.NoError(s.t, s.stdin.Close())
	s.says(v)
	require.NoError(s.t, s.wait(), "%s: %s", s.name, &s.noise)
}

// run runs a script that says one value.
func run(t *testing.T, name string, input, v any) {
	t.Helper()
	begin(t, name, input).end(v)
}

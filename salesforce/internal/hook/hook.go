// Package hook keeps a panic of who watches from what is watched.
//
// It is the twin of the root module's, which this module must not import.
package hook

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
)

// An Observer is that of the rooms, each of which declares the same.
type Observer interface {
	// Start is called before op; the context it returns is the operation's.
	Start(ctx context.Context, op string, attrs ...slog.Attr) context.Context
	// End is called after op, with the context of Start and op's error.
	End(ctx context.Context, op string, err error, attrs ...slog.Attr)
}

// Guard returns o with its panics recovered and told to log. A context that
// Start does not return, or returns as nil, is the one it was given. A nil o is
// one that sees nothing.
func Guard(o Observer, log *slog.Logger) Observer {
	switch o.(type) {
	case nil:
		return none{}
	case *guarded, none:
		return o
	}
	return &guarded{o, log}
}

type guarded struct {
	o   Observer
	log *slog.Logger
}

func (g *guarded) Start(ctx context.Context, op string, attrs ...slog.Attr) (of context.Context) {
	defer func() {
		if p := recover(); p != nil {
			g.tell("Start", op, p)
		}
		if of == nil {
			of = ctx
		}
	}()
	return g.o.Start(ctx, op, attrs...)
}

func (g *guarded) End(ctx context.Context, op string, err error, attrs ...slog.Attr) {
	defer func() {
		if p := recover(); p != nil {
			g.tell("End", op, p)
		}
	}()
	g.o.End(ctx, op, err, attrs...)
}

func (g *guarded) tell(method, op string, p any) {
	g.log.Error("observer_panicked", "method", method, "op", op, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
}

type none struct{}

func (none) Start(ctx context.Context, _ string, _ ...slog.Attr) context.Context { return ctx }
func (none) End(context.Context, string, error, ...slog.Attr)                    {}

package interop

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/crosstie/crosstie/outcome"
	"github.com/crosstie/crosstie/requestreply"
	"github.com/crosstie/crosstie/retry"
)

// A stock is a grpc server on loopback with one method, /stock/Take, that says
// what do says.
type stock struct {
	*grpc.Server
	down atomic.Bool // nobody dials its port any more, which may be another's
}

func (s *stock) stop(how func()) { s.down.Store(true); how() }

// served returns a client of a new stock.
func served(t *testing.T, do func(context.Context, *stock) error) *grpc.ClientConn {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &stock{Server: grpc.NewServer()}
	s.RegisterService(&grpc.ServiceDesc{
		ServiceName: "stock", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Take", Handler: func(_ any, ctx context.Context, in func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if err := in(new(emptypb.Empty)); err != nil {
				return nil, err
			}
			return new(emptypb.Empty), do(ctx, s)
		}}},
	}, struct{}{})
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return dialed(t, func(ctx context.Context, _ string) (net.Conn, error) {
		if s.down.Load() {
			return nil, errors.New("nobody listens")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", l.Addr().String())
	})
}

func dialed(t *testing.T, dial func(context.Context, string) (net.Conn, error)) *grpc.ClientConn {
	// No resolver, and no retries but ours.
	c, err := grpc.NewClient("passthrough:///stock.example", grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDisableRetry(), grpc.WithContextDialer(dial))
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// take calls method, and says how many attempts it made.
func take(ctx context.Context, c *grpc.ClientConn, idempotent bool, method string) (int, error) {
	g := requestreply.NewGuard(&requestreply.Options{Retry: retry.Policy{Base: -1, MaxAttempts: 3}})
	made := 0
	_, err := requestreply.Run(ctx, g, requestreply.Op{Target: "stock", Idempotent: idempotent}, func(ctx context.Context) (*emptypb.Empty, error) {
		made++
		v := new(emptypb.Empty)
		return v, c.Invoke(ctx, method, v, v)
	})
	return made, err
}

// What grpc-go's own client says of a call that failed is read without its
// types: the outcome, and whether it is repeated.
func TestGRPC(t *testing.T) {
	says := func(err error) func(context.Context, *stock) error {
		return func(context.Context, *stock) error { return err }
	}
	withInfo := func(c codes.Code) error {
		s, err := status.New(c, "come back").WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
		require.NoError(t, err)
		return s.Err()
	}
	const method, absent = "/stock/Take", codes.Code(12) // the server does not have the method
	for _, c := range []struct {
		name   string
		do     func(context.Context, *stock) error
		method string
		code   codes.Code
		known  outcome.Outcome
		repeat bool // an idempotent call is made again
	}{
		{"an answer of its own", says(status.Error(codes.FailedPrecondition, "none left")), method, codes.FailedPrecondition, outcome.Refused, false},
		{"no such method", says(nil), "/stock/Give", absent, outcome.Refused, false},
		{"no such service", says(nil), "/shop/Take", absent, outcome.Refused, false},
		{"who are you", says(status.Error(codes.Unauthenticated, "")), method, codes.Unauthenticated, outcome.Refused, false},
		{"too much, with retry info", says(withInfo(codes.ResourceExhausted)), method, codes.ResourceExhausted, outcome.Unknown, true},
		{"unavailable, it says", says(withInfo(codes.Unavailable)), method, codes.Unavailable, outcome.Unknown, true},
		{"an error without a code", says(errors.New("something")), method, codes.Unknown, outcome.Unknown, true},
		{"it went down in the middle", func(ctx context.Context, s *stock) error {
			go s.stop(s.Stop)
			<-ctx.Done()
			return nil
		}, method, codes.Unavailable, outcome.Unknown, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, idempotent := range []bool{false, true} {
				var calls atomic.Int64
				conn := served(t, func(ctx context.Context, s *stock) error { calls.Add(1); return c.do(ctx, s) })
				made, err := take(t.Context(), conn, idempotent, c.method)
				require.Equal(t, c.code, status.Code(err), err)
				require.Equal(t, c.known, outcome.Of(err), err)
				if !idempotent || !c.repeat {
					require.Equal(t, 1, made)
				} else {
					require.Equal(t, 3, made)
				}
			}
		})
	}

	t.Run("it is done", func(t *testing.T) {
		made, err := take(t.Context(), served(t, says(nil)), false, method)
		require.NoError(t, err)
		require.Equal(t, 1, made)
	})
	t.Run("nobody listens: grpc's code does not tell that nothing was sent", func(t *testing.T) {
		made, err := take(t.Context(), dialed(t, func(ctx context.Context, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:1")
		}), true, method)
		require.Equal(t, codes.Unavailable, status.Code(err), err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 3, made)
	})
	t.Run("its caller gave up while it worked", func(t *testing.T) {
		began := make(chan struct{})
		conn := served(t, func(ctx context.Context, _ *stock) error { close(began); <-ctx.Done(); return nil })
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-began; cancel() }()
		made, err := take(ctx, conn, true, method)
		require.Equal(t, codes.Canceled, status.Code(err), err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
		require.Equal(t, 1, made)
	})
	t.Run("time ran out while it worked", func(t *testing.T) {
		conn := served(t, func(ctx context.Context, _ *stock) error { <-ctx.Done(); return ctx.Err() })
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := take(ctx, conn, true, method)
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	t.Run("no time was left", func(t *testing.T) {
		conn := served(t, says(nil))
		_, err := requestreply.Run(t.Context(), nil, requestreply.Op{Target: "stock"}, func(ctx context.Context) (struct{}, error) {
			ctx, cancel := context.WithDeadline(ctx, time.Now().Add(-time.Second))
			defer cancel()
			return struct{}{}, conn.Invoke(ctx, method, new(emptypb.Empty), new(emptypb.Empty))
		})
		require.Equal(t, codes.DeadlineExceeded, status.Code(err), err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
	t.Run("it refuses new calls and ends those it has", func(t *testing.T) {
		gone := make(chan struct{})
		conn := served(t, func(_ context.Context, s *stock) error {
			go func() { s.stop(s.GracefulStop); close(gone) }()
			return nil
		})
		_, err := take(t.Context(), conn, false, method)
		require.NoError(t, err, "it was begun before the GOAWAY")
		<-gone
		_, err = take(t.Context(), conn, false, method)
		require.Equal(t, codes.Unavailable, status.Code(err), err)
		require.Equal(t, outcome.Unknown, outcome.Of(err))
	})
}

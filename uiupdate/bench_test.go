package uiupdate_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/crosstie/crosstie/uiupdate"
)

// mark is in each event once, so that readers count events by single bytes.
const mark = '~'

// readers opens n connections to addr, sends request on each if there is one,
// and counts the marks that come.
func readers(b *testing.B, n int, addr, request string, count *atomic.Int64) {
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = conn.Close() })
		if request != "" {
			if _, err := io.WriteString(conn, request); err != nil {
				b.Fatal(err)
			}
		}
		go func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := conn.Read(buf)
				count.Add(int64(bytes.Count(buf[:n], []byte{mark})))
				if err != nil {
					return
				}
			}
		}()
	}
}

// until waits, and gives the processor away meanwhile.
func until(b *testing.B, done func() bool) {
	for limit := time.Now().Add(time.Minute); !done(); runtime.Gosched() {
		if time.Now().After(limit) {
			b.Fatal("it does not come")
		}
	}
}

// floor is the least that could do it: connections, and a loop that writes.
type floor struct {
	mu    sync.Mutex
	conns []net.Conn
}

func newFloor(b *testing.B) (*floor, string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	f := &floor{}
	b.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
		}
	}()
	return f, l.Addr().String()
}

func (f *floor) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

func (f *floor) write(b *testing.B, p []byte) {
	for _, c := range f.conns {
		if _, err := c.Write(p); err != nil {
			b.Fatal(err)
		}
	}
}

const request = "GET / HTTP/1.1\r\nHost: stock.example\r\n\r\n"

// BenchmarkFanOut sends 100 changes to 500 streams and waits until all have
// them. The floors write the same bytes to as many connections, one write for
// each change, and one write for all hundred: what a server could do that
// knew in advance what comes. One iteration is a round of each in turn.
func BenchmarkFanOut(b *testing.B) {
	for _, name := range []string{"plain", "lean"} {
		b.Run(name, func(b *testing.B) { fanOut(b, &uiupdate.HandlerOptions{Lean: name == "lean"}) })
	}
}

func fanOut(b *testing.B, o *uiupdate.HandlerOptions) {
	const streams, changes = 500, 100
	v := uiupdate.NewView[string, string](nil)
	h := uiupdate.NewHandler(v, o)
	b.Cleanup(func() { shut(h) })
	server := httptest.NewServer(h)
	b.Cleanup(server.Close)
	var ours, theirs atomic.Int64
	readers(b, streams, server.Listener.Addr().String(), request, &ours)
	f, addr := newFloor(b)
	readers(b, streams, addr, "", &theirs)
	until(b, func() bool { return h.Stats().Open == streams && f.len() == streams })

	frame := []byte("event: delta\ndata: {\"rows\":[{\"key\":\"M-1042\",\"value\":\"" + string(mark) + strings.Repeat("x", 40) +
		"\",\"asOf\":\"2026-11-23T12:00:00.000Z\"}]}\nid: ABCDEFGHIJKLMNOPQRSTUVWXYZ-12345\n\n")
	all := bytes.Repeat(frame, changes)
	value := string(mark) + strings.Repeat("x", 40)
	works := []struct {
		name  string
		count *atomic.Int64
		do    func()
	}{
		{"ours", &ours, func() {
			for range changes {
				if err := v.Set("M-1042", value, time.Now()); err != nil {
					b.Fatal(err)
				}
			}
		}},
		{"each", &theirs, func() {
			for range changes {
				f.write(b, frame)
			}
		}},
		{"all", &theirs, func() { f.write(b, all) }},
	}
	took := map[string][]float64{}
	var mallocs, size []float64
	b.ReportAllocs()
	for b.Loop() {
		for _, w := range works {
			var before, after runtime.MemStats
			if w.name == "ours" {
				runtime.ReadMemStats(&before)
			}
			want := w.count.Load() + streams*changes
			start := time.Now()
			w.do()
			until(b, func() bool { return w.count.Load() >= want })
			took[w.name] = append(took[w.name], float64(time.Since(start)))
			if w.name == "ours" {
				runtime.ReadMemStats(&after)
				mallocs = append(mallocs, float64(after.Mallocs-before.Mallocs)/streams/changes)
				size = append(size, float64(after.TotalAlloc-before.TotalAlloc)/streams/changes)
			}
		}
	}
	ratio := func(name string) float64 {
		var r []float64
		for i := range took[name] {
			r = append(r, took[name][i]/took["ours"][i])
		}
		return median(r)
	}
	b.ReportMetric(streams*changes/(median(took["ours"])/1e9), "deliveries/s")
	b.ReportMetric(ratio("each"), "ours/each-floor")
	b.ReportMetric(ratio("all"), "ours/all-floor")
	b.ReportMetric(median(mallocs), "allocs/delivery")
	b.ReportMetric(median(size), "B/delivery")
}

func median(x []float64) float64 {
	x = slices.Clone(x)
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkIdleStream reports what an open stream with nothing to say costs
// in memory: all that the process has more, without its client's side, which
// is measured by connections that nobody serves.
func BenchmarkIdleStream(b *testing.B) {
	for _, name := range []string{"plain", "lean"} {
		b.Run(name, func(b *testing.B) { idle(b, &uiupdate.HandlerOptions{Lean: name == "lean"}) })
	}
}

// shut ends all streams of a handler at once.
func shut(h *uiupdate.Handler) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_ = h.Shutdown(ctx)
}

func idle(b *testing.B, o *uiupdate.HandlerOptions) {
	const streams = 2000
	inUse := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapInuse + m.StackInuse)
	}
	open := func(addr, request string) (conns []net.Conn) {
		for range streams {
			conn, err := net.Dial("tcp", addr)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.WriteString(conn, request); err != nil {
				b.Fatal(err)
			}
			conns = append(conns, conn)
		}
		return conns
	}
	hangUp := func(conns []net.Conn) {
		for _, c := range conns {
			_ = c.Close()
		}
	}
	var ours, bare []float64
	for b.Loop() {
		f, addr := newFloor(b)
		before := inUse()
		conns := open(addr, "")
		until(b, func() bool { return f.len() == streams })
		bare = append(bare, inUse()-before)
		hangUp(conns)
		hangUp(f.conns)

		v := uiupdate.NewView[string, int](nil)
		h := uiupdate.NewHandler(v, o)
		server := httptest.NewServer(h)
		before = inUse()
		conns = open(server.Listener.Addr().String(), request)
		until(b, func() bool { return h.Stats().Open == streams })
		for _, c := range conns { // each has all, and is at rest
			r := bufio.NewReader(c)
			for line := ""; !strings.HasPrefix(line, "event: live"); {
				var err error
				if line, err = r.ReadString('\n'); err != nil {
					b.Fatal(err)
				}
			}
		}
		ours = append(ours, inUse()-before)
		hangUp(conns)
		shut(h)
		server.Close()
	}
	b.ReportMetric((median(ours)-median(bare))/streams, "B/stream")
	b.ReportMetric(median(bare)/streams, "B/connection-floor")
}

// BenchmarkCatchUp is a reader that comes back after a thousand changes of a
// view with a hundred thousand rows.
func BenchmarkCatchUp(b *testing.B) {
	v := uiupdate.NewView[int, int](nil)
	all := map[int]int{}
	for i := range 100_000 {
		all[i] = i
	}
	if err := v.Reset(all, noon); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	last := ""
	for e := range v.Watch(b.Context(), "") {
		if last = e.ID; e.Kind == uiupdate.Live {
			break
		}
	}
	for i := range 1000 {
		if err := v.Set(i*97, -i, noon.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		for e := range v.Watch(b.Context(), last) {
			if n += len(e.Changes); e.Kind == uiupdate.Live {
				break
			}
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

// BenchmarkSet is a change that nobody watches, and one of a view with a
// window full of changes.
func BenchmarkSet(b *testing.B) {
	v := uiupdate.NewView[string, int](nil)
	keys := make([]string, 1000)
	for i := range keys {
		keys[i] = fmt.Sprint("M-", i)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		n++
		if err := v.Set(keys[n%len(keys)], n, noon.Add(time.Duration(n))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkFreshHit is a value that is fresh, beside a map under a mutex.
func BenchmarkFreshHit(b *testing.B) {
	f := uiupdate.NewFresh((&source{val: 1}).load, &uiupdate.FreshOptions{MaxAge: time.Hour})
	ctx := b.Context()
	if _, err := f.Load(ctx, "M-1042"); err != nil {
		b.Fatal(err)
	}
	b.Run("floor", func(b *testing.B) {
		var mu sync.Mutex
		m := map[string]int{"M-1042": 1}
		b.ReportAllocs()
		for b.Loop() {
			mu.Lock()
			_ = m["M-1042"]
			mu.Unlock()
		}
	})
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := f.Load(ctx, "M-1042"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

var _ http.Handler = (*uiupdate.Handler)(nil)

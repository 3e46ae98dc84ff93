package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/crosstie/crosstie/uiupdate"
)

// screenCuts is how often the stream of the screen is cut, more or less.
const screenCuts = 8

// openScreen starts somebody who watches the stock on a screen.
func (s *story) openScreen(ctx context.Context) error {
	at, err := s.listen(ctx, "127.0.0.1:0", uiupdate.NewHandler(s.view, nil))
	if err != nil {
		return err
	}
	s.screen = newScreen("http://"+at, &http.Client{Transport: s.transport()})
	watcher := &runner{run: s.screen.run, fail: s.fail}
	watcher.start(ctx)
	s.onClose(func() error { watcher.stop(); return nil })
	return nil
}

// watching waits until the screen shows what the warehouse has.
func (s *story) watching(ctx context.Context) ([]tally, error) {
	if err := s.refill(ctx); err != nil { // the forecast found new reorder points
		return nil, err
	}
	want, err := s.warehouse.allStock(ctx)
	if err != nil {
		return nil, err
	}
	s.bar.start("show", int64(len(want)))
	s.screen.cutNow() // once more, so that what follows comes over a resumed stream
	patience := time.NewTimer(s.c.wait)
	defer patience.Stop()
	for {
		same, shown, news := s.screen.compare(want)
		s.bar.set(same)
		if same == int64(len(want)) && shown == same {
			break
		}
		select {
		case <-news:
		case <-patience.C:
			return nil, broken("the screen shows what the warehouse has", "%d of %s are right after %s", same, plural(int64(len(want)), "row"), s.c.wait)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	cuts, resets, moved := s.screen.story()
	s.bar.end(fmt.Sprintf("%s on the screen are right; its stream was cut %s and began anew %s; %s came",
		plural(int64(len(want)), "row"), times(cuts), times(resets-1), plural(moved, "row")))
	return []tally{{
		Pattern: "uiupdate", What: fmt.Sprintf("show each product on a screen (stream cut %s)", times(cuts)),
		In: int64(len(want)), Done: int64(len(want)), Took: time.Since(s.began),
	}}, nil
}

// checkScreen proves that a stream that is cut goes on where it was: the screen began from nothing once.
func (s *story) checkScreen(context.Context) error {
	if _, resets, _ := s.screen.story(); resets != 1 {
		return broken("a stream resumes where it was cut", "the screen had to begin from nothing %s", times(resets))
	}
	return s.looks.check()
}

func times(n int64) string {
	switch n {
	case 0:
		return "never"
	case 1:
		return "once"
	case 2:
		return "twice"
	}
	return fmt.Sprintf("%d times", n)
}

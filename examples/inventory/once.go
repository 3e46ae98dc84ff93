package main

import (
	"context"
	"fmt"
	"io"
	"time"
)

// A story is one run with -once: what the chapters hand on to each other.
type story struct {
	*system
	bar *progress
	say io.Writer

	orders      []order
	proxy       *faultProxy
	shop        *shop
	screen      *screen
	looks       *looks
	outbox      map[string]queue // what the outbox held when the couriers began
	began       time.Time        // of the couriers
	heardBefore map[string]int64 // events each subscriber had taken when this process began
	heard       int64            // events the org had when its subscriber was stopped
	parked      string           // why the first of the parked events is there
	job         string           // the forecast that counts
	moment      moment           // of which it is
	plan        plan             // which it found
	tallies     []tally
}

// once plays the story, proves it, and says so in one table. A run that was killed goes on with -dir: every step may be
// done again.
func once(ctx context.Context, c config, stdout, stderr io.Writer) (err error) {
	interrupted := ctx.Err
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	s, err := openSystem(ctx, c, stderr, fail)
	if err != nil {
		return err
	}
	st := &story{system: s, bar: newProgress(stderr), say: stderr}
	defer func() {
		st.bar.clear()
		switch {
		case err == nil:
		case interrupted() != nil:
			err = fmt.Errorf("interrupted; the same command with -dir %s goes on", s.folder.path)
		case ctx.Err() != nil:
			err = about(s.folder.path, context.Cause(ctx))
		}
		if stop := s.close(); err == nil {
			err = stop
		}
	}()
	for _, chapter := range []func(context.Context) ([]tally, error){
		st.loading,     // batchsync: the input comes into the warehouse,
		st.introducing, // and from there into the org
		st.opening,     // everybody begins to work
		st.shopping,    // requestreply: orders, over a bad network
		st.telling,     // fireforget: all who must be told of them were told
		st.hearing,     // pubsub: all who listen have heard of them
		st.forecasting, // remoteinvoke: what to order, started here and learned later
		st.settling,    // batchsync: what changed comes into the org
		st.watching,    // uiupdate: the screen shows what the warehouse has
	} {
		tallies, err := chapter(ctx)
		if err != nil {
			return err
		}
		st.tallies = append(st.tallies, tallies...)
	}
	st.bar.start("check", 0)
	if err := st.check(ctx); err != nil {
		return err
	}
	st.bar.end("every invariant holds")
	fmt.Fprintln(stdout)
	if err := printTable(stdout, st.tallies); err != nil {
		return err
	}
	for _, n := range s.notes {
		fmt.Fprintln(stdout, n)
	}
	return nil
}

// loading brings the input into the warehouse.
func (s *story) loading(ctx context.Context) ([]tally, error) { return s.load(ctx, s.bar, s.say) }

// introducing moves the catalogue into the org, before anything happens.
func (s *story) introducing(ctx context.Context) ([]tally, error) {
	return s.toOrg(ctx, s.bar, s.say, "move the catalogue into the org")
}

// opening starts all who work beside the shop: the couriers, the subscribers and the one who watches a screen.
func (s *story) opening(ctx context.Context) (_ []tally, err error) {
	if s.outbox, err = s.waiting(ctx); err != nil {
		return nil, err
	}
	if err := s.openShop(ctx); err != nil {
		return nil, err
	}
	if err := s.refill(ctx); err != nil {
		return nil, err
	}
	if err := s.openScreen(ctx); err != nil {
		return nil, err
	}
	if err := s.renewOrg(ctx); err != nil {
		return nil, err
	}
	if s.heardBefore, err = s.heardSoFar(ctx); err != nil {
		return nil, err
	}
	s.began = s.deliver(ctx)
	for _, name := range subscribers {
		s.subscribers[name].start(ctx)
	}
	return nil, nil
}

// settling moves into the org what the orders and the forecast changed, and nothing else; and once more, when nothing
// has changed.
func (s *story) settling(ctx context.Context) ([]tally, error) {
	changed, err := s.toOrg(ctx, s.bar, s.say, "move what changed into the org")
	if err != nil {
		return nil, err
	}
	nothing, err := s.toOrg(ctx, s.bar, s.say, "and again: nothing has changed")
	if err != nil {
		return nil, err
	}
	if t := nothing[0]; t.Done > 0 && s.ownOrg != nil { // in another org others may change what they like
		return nil, broken("what has not changed is not sent", "%s were, of %d", plural(t.Done, "product"), t.In)
	}
	return append(changed, nothing...), nil
}

// check proves from the databases, the org and the receiver that the story went as promised.
func (s *story) check(ctx context.Context) error {
	for _, t := range s.tallies {
		if err := t.check(); err != nil {
			return err
		}
		if t.Pattern == "fireforget" && t.Parked > 0 {
			return broken("no message is lost", "%s are parked, because the receiver refused them: see crosstie_outbox_dead in warehouse.db", plural(t.Parked, "webhook"))
		}
	}
	if err := s.checkFolder(ctx); err != nil {
		return err
	}
	if err := s.checkOrg(ctx); err != nil {
		return err
	}
	return s.checkScreen(ctx)
}

// checkFolder proves what can be proved from the files of the folder alone.
func (s *story) checkFolder(ctx context.Context) error {
	if err := checkWarehouse(ctx, s.warehouse.db, s.orders); err != nil {
		return err
	}
	reservations, err := allReservations(ctx, s.warehouse.db)
	if err != nil {
		return err
	}
	if err := s.checkEvents(ctx, reservations); err != nil {
		return err
	}
	if s.receiver != nil { // else the journal is outside; who keeps it can check it
		if err := checkJournal(ctx, s.receiver.db, reservations); err != nil {
			return err
		}
	}
	return checkForecast(ctx, s.warehouse, s.job, s.moment, s.plan)
}

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/crosstie/crosstie/batchsync"
	"github.com/crosstie/crosstie/batchsync/table"
	"github.com/crosstie/crosstie/pubsub"
	"github.com/crosstie/crosstie/salesforce/bulk"
)

// A productForOrg is a row of the view of that name.
type productForOrg struct {
	SKU         string `db:"sku"`
	Description string `db:"description"`
	UnitPrice   Money  `db:"unit_price"`
	Stock       int64  `db:"stock"`
	ToOrder     int64  `db:"to_order"`
}

func (p productForOrg) orgProduct() (orgProduct, error) {
	return orgProduct{p.SKU, p.Description, orgPrice{p.UnitPrice}, orgCount(p.Stock), orgCount(p.ToOrder)}, nil
}

// orgPage is how many products go into one job: each job has its price in calls.
const orgPage = 10_000

// toOrg moves the catalogue into the org by Bulk API 2.0: what the org has already is not sent. Products that would
// meet in one record there are said before anything is sent, and stay here.
func (s *system) toOrg(ctx context.Context, bar *progress, say io.Writer, what string) ([]tally, error) {
	o := &bulk.Options{Compare: true, Logger: s.logger()}
	if u, err := url.Parse(s.c.org); s.ownOrg != nil || err == nil && loopback(u.Hostname()) {
		o.PollFirst, o.PollMax = 10*time.Millisecond, 200*time.Millisecond // nobody counts the calls of an emulator
	}
	sink, err := bulk.NewSink[orgProduct](s.org, "Product2", "SKU__c", o)
	if err != nil {
		return nil, err
	}
	field, err := sink.Key(ctx)
	if err != nil {
		return nil, orgTrouble(err)
	}
	rows, err := table.New[productForOrg](s.warehouse.db, "product_for_org", "sku", &table.Options{PageRows: orgPage})
	if err != nil {
		return nil, err
	}
	products := batchsync.Map(rows, productForOrg.orgProduct)
	met, err := bulk.Collisions(ctx, products, field.Same)
	if err != nil {
		return nil, err
	}
	if err := s.reportCollisions(met, say); err != nil {
		return nil, err
	}
	org, err := s.org.ID(ctx) // what the checkpoint remembers is of this org
	if err != nil {
		return nil, orgTrouble(err)
	}
	st := newStep("products-to-"+org, what, s.warehouse, bulk.ParkCollisions(products, field.Same), sink)
	st.bar, st.apart = "to the org", "not sent"
	t, err := s.sync(ctx, st, bar, io.Discard)
	if err != nil {
		return nil, orgTrouble(err)
	}
	return []tally{t}, s.reportOrgRows(ctx, st)
}

// reportCollisions says which products meet in one record of the org.
func (s *system) reportCollisions(met []bulk.Collision, say io.Writer) error {
	if len(met) == 0 || s.toldCollisions {
		return nil
	}
	s.toldCollisions = true
	for i, c := range met {
		if i < shownRows {
			fmt.Fprintf(say, "  not sent, since they are one record in the org: %s\n", codes(c))
		}
		s.board.park("batchsync", codes(c), "The org takes these codes for one record, since its external id does not tell upper case from lower. None of them is sent; keep one, or run with -fold-case.")
	}
	if len(met) > shownRows {
		fmt.Fprintf(say, "  and %d more, see org.txt\n", len(met)-shownRows)
	}
	return nil
}

// codes names the products of a collision.
func codes(c bulk.Collision) string {
	var all []string
	for _, r := range c.Rows {
		all = append(all, r.ID)
	}
	return strings.Join(all, ", ")
}

// reportOrgRows writes org.txt, which has every product that is not in the org as it should be, and why.
func (s *system) reportOrgRows(ctx context.Context, st step) (err error) {
	f, err := os.Create(s.folder.file("org.txt"))
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	defer func() { err = errors.Join(err, w.Flush(), f.Close()) }()
	for d, err := range st.sync.DeadRows(ctx) {
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s: %s\n", d.ID, d.Why)
	}
	return nil
}

// renewOrg has our own org, which is new in each process and knows nothing, told of all events again: the log has them
// from the first on.
func (s *system) renewOrg(ctx context.Context) error {
	if s.ownOrg == nil {
		return nil
	}
	for {
		err := s.subscribers[subscriberOrg].sub.Seek(ctx, pubsub.Start{})
		if !errors.Is(err, pubsub.ErrHeld) {
			return err
		}
		// The folder is ours alone, so the holder is dead, and its lease runs out.
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

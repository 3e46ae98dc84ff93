package uiupdatetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Row is one row of a [Copy].
type Row struct {
	// Value is the row's JSON, and AsOf the instant as of which it is known.
	Value json.RawMessage
	AsOf  time.Time
}

// A Copy is what a screen has of a view: the rows that the events so far add
// up to. It checks each event against the contract. The zero value is ready;
// it is not safe for concurrent use.
type Copy struct {
	// Rows are the rows, by key.
	Rows map[string]Row
	// LastID is where to go on after a disconnect.
	LastID string
	// Live says that the copy had everything at the last event.
	Live bool
	// AsOf is up to when the view is complete, if its feed has said so.
	AsOf time.Time
	// Resets, Snapshots, Deltas and Lives count the events.
	Resets, Snapshots, Deltas, Lives int

	begun    bool                 // an event came on this connection
	resumed  bool                 // this connection goes on from an id
	filling  bool                 // between a reset and live
	given    map[string]bool      // keys of this snapshot, on this connection
	versions map[string]time.Time // as-of of each key since the reset, deleted ones too
}

// Connect tells the copy that a connection begins, with LastID if there is
// one.
func (c *Copy) Connect() {
	c.begun, c.resumed, c.Live = false, c.LastID != "", false
	c.given = map[string]bool{}
}

// ready makes the maps of a copy that begins with another's LastID.
func (c *Copy) ready() {
	if c.Rows == nil {
		c.Rows = map[string]Row{}
	}
	if c.versions == nil {
		c.versions = map[string]time.Time{}
	}
	if c.given == nil {
		c.given = map[string]bool{}
	}
}

type change struct {
	Key     *string         `json:"key"`
	Value   json.RawMessage `json:"value"`
	Deleted bool            `json:"deleted"`
	AsOf    time.Time       `json:"asOf"`
}

// Apply takes one event. An error says which rule of the contract it breaks.
func (c *Copy) Apply(e Event) error {
	if e.Type == "" && e.Data == "" && !e.HasID {
		return nil // retry alone
	}
	first := !c.begun
	c.begun = true
	if first && !c.resumed && e.Type != "reset" {
		return fmt.Errorf("a stream without an id begins with %q, not with a reset", e.Type)
	}
	if !e.HasID || e.ID == "" || len(e.ID) > 1024 {
		return fmt.Errorf("event %q has the id %q: want one that a browser can go on from", e.Type, e.ID)
	}
	if e.ID == c.LastID && e.Type != "live" {
		return fmt.Errorf("event %q repeats the id %q: nobody could go on after it", e.Type, e.ID)
	}
	var err error
	switch e.Type {
	case "reset":
		err = c.reset(e)
	case "snapshot", "delta":
		err = c.rows(e)
	case "live":
		err = c.live(e)
	default:
		err = errors.New("unknown type of event")
	}
	if err != nil {
		return fmt.Errorf("event %q with id %q: %w", e.Type, e.ID, err)
	}
	c.LastID = e.ID
	return nil
}

func (c *Copy) reset(e Event) error {
	var data struct {
		Why string `json:"why"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
		return err
	}
	if data.Why == "" {
		return errors.New("it does not say why")
	}
	c.Rows, c.versions, c.given = map[string]Row{}, map[string]time.Time{}, map[string]bool{}
	c.Live, c.filling, c.AsOf = false, true, time.Time{}
	c.Resets++
	return nil
}

func (c *Copy) rows(e Event) error {
	c.ready()
	if e.Type == "snapshot" {
		c.Snapshots++
		if !c.filling {
			return errors.New("a snapshot without a reset before it")
		}
	} else {
		c.Deltas++
	}
	var data struct {
		Rows []change `json:"rows"`
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
		return err
	}
	if len(data.Rows) == 0 {
		return errors.New("it has no rows")
	}
	for i, r := range data.Rows {
		switch {
		case r.Key == nil:
			return fmt.Errorf("row %d has no key", i)
		case r.AsOf.IsZero():
			return fmt.Errorf("row %q has no as-of", *r.Key)
		case r.Deleted != (r.Value == nil):
			return fmt.Errorf("row %q must have a value or be deleted", *r.Key)
		case r.Deleted && e.Type == "snapshot":
			return fmt.Errorf("row %q is deleted, in a snapshot", *r.Key)
		case r.AsOf.Before(c.versions[*r.Key]):
			return fmt.Errorf("row %q goes back from %s to %s", *r.Key, c.versions[*r.Key], r.AsOf)
		case c.given[*r.Key] && !r.Deleted && c.has(*r.Key, r):
			return fmt.Errorf("row %q comes twice on one connection", *r.Key)
		}
		c.versions[*r.Key] = r.AsOf
		c.given[*r.Key] = true
		if r.Deleted {
			delete(c.Rows, *r.Key)
		} else {
			c.Rows[*r.Key] = Row{Value: r.Value, AsOf: r.AsOf}
		}
	}
	return nil
}

// has says whether r is what the copy has already.
func (c *Copy) has(key string, r change) bool {
	row, ok := c.Rows[key]
	return ok && r.AsOf.Equal(row.AsOf) && bytes.Equal(r.Value, row.Value)
}

func (c *Copy) live(e Event) error {
	var data struct {
		Now, AsOf time.Time
	}
	if err := json.Unmarshal([]byte(e.Data), &data); err != nil {
		return err
	}
	switch {
	case data.Now.IsZero():
		return errors.New("it does not say what time it is")
	case data.AsOf.Before(c.AsOf):
		return fmt.Errorf("the view goes back from %s to %s", c.AsOf, data.AsOf)
	}
	c.Lives++
	c.Live, c.filling, c.AsOf = true, false, data.AsOf
	return nil
}

package sftest

import (
	"encoding/json"
	"fmt"
)

// Insert creates rows without a call, as somebody else would: to set a test up,
// or to let the org drift away from what a client last saw. It gives their ids.
// Values are what JSON can be made of; a nil is null. The error is the
// platform's refusal of the first row that it refuses; those before it stay.
func (o *Org) Insert(object string, rows ...Row) ([]string, error) {
	var ids []string
	for i, r := range rows {
		obj, e, err := o.given(object, r)
		if err != nil {
			return ids, fmt.Errorf("sftest: insert %s, row %d: %w", object, i, err)
		}
		made, p := o.insert(obj, e)
		if p != nil {
			return ids, fmt.Errorf("sftest: insert %s, row %d: %w", object, i, p)
		}
		ids = append(ids, made)
	}
	return ids, nil
}

func (o *Org) insert(obj *object, e edit) (string, *problem) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{}
	r, p := o.data.insert(obj, e)
	if p != nil {
		return "", p
	}
	return r.id(), nil
}

// Update changes the row of an id without a call: the fields that are given, a
// nil to null. The error is the platform's refusal.
func (o *Org) Update(object, id string, fields Row) error {
	obj, e, err := o.given(object, fields)
	if err == nil {
		err = o.change(obj, id, func(r *row) *problem { return o.data.update(obj, r, e) })
	}
	if err != nil {
		return fmt.Errorf("sftest: update %s %s: %w", object, id, err)
	}
	return nil
}

// Delete deletes the row of an id without a call. The error is the platform's
// refusal.
func (o *Org) Delete(object, id string) error {
	obj := o.schema.object(object)
	err := o.known(obj)
	if err == nil {
		err = o.change(obj, id, func(r *row) *problem { o.data.remove(obj, r); return nil })
	}
	if err != nil {
		return fmt.Errorf("sftest: delete %s %s: %w", object, id, err)
	}
	return nil
}

// change does something to a row.
func (o *Org) change(obj *object, id string, do func(*row) *problem) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.writer = writer{}
	r, p := o.data.find(obj, id)
	if p == nil {
		p = do(r)
	}
	if p != nil {
		return p
	}
	return nil
}

func (o *Org) known(obj *object) error {
	if obj == nil || obj.event {
		return notFound()
	}
	return nil
}

// given reads fields as a call would bring them.
func (o *Org) given(object string, fields Row) (*object, edit, error) {
	obj := o.schema.object(object)
	if err := o.known(obj); err != nil {
		return nil, nil, err
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return nil, nil, err
	}
	raw, p := decodeObject(text)
	if p != nil {
		return nil, nil, p
	}
	e, p := o.editOf(obj, raw)
	if p != nil {
		return nil, nil, p
	}
	return obj, e, nil
}

package intent

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
)

// What a value holds: the CRC-32C (big endian) of id and JSON, then the JSON.

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(id string, js []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(id), castagnoli), castagnoli, js)
}

func encode(o Object) ([]byte, error) {
	js, err := json.Marshal(o)
	if err != nil {
		return nil, err
	}
	return append(binary.BigEndian.AppendUint32(nil, checksum(o.Ref().ID, js)), js...), nil
}

func decode[T Object](id string, v []byte) (o T, err error) {
	if len(v) < 4 || binary.BigEndian.Uint32(v) != checksum(id, v[4:]) {
		return o, errors.New("wrong checksum")
	}
	d := json.NewDecoder(bytes.NewReader(v[4:]))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		return o, err
	}
	if o.Ref().ID != id {
		return o, fmt.Errorf("it holds %v", o.Ref())
	}
	return o, nil
}

// Redacted is a change without the secrets in it: what was set shows, and whether it is
// another one now.
func (c Change) Redacted() Change {
	old, _ := c.Old.(Neighbor)
	n, ok := c.New.(Neighbor)
	if ok && n.Password != "" {
		changed := n.Password != old.Password && old.Password != ""
		if n.Password = "(secret)"; changed {
			n.Password = "(another secret)"
		}
		c.New = n
	}
	if old.Password != "" {
		old.Password = "(secret)"
		c.Old = old
	}
	return c
}

// withoutSecrets is the value without the passwords in it.
func (v value) withoutSecrets() (value, error) {
	if v.Kind != KindNeighbor {
		return v, nil
	}
	n, err := decode[Neighbor](v.ID, v.Data)
	if err == nil && n.Password != "" {
		n.Password = ""
		v.Data, err = encode(n)
	}
	return v, err
}

// readModel reads everything that a backend holds, each object by the same rules
// as when it was made.
func readModel(b backend) (model, error) {
	tx := begin(model{})
	err := b.Load(func(v value) error {
		if err := tx.load(v); err != nil {
			return fmt.Errorf("%w (%w)", errDamaged, err)
		}
		return nil
	})
	return tx.model(), err
}

func (tx *Tx) load(v value) error {
	switch v.Kind {
	case KindLogicalBridge:
		return loadInto(&tx.bridges, v)
	case KindBridgePort:
		return loadInto(&tx.ports, v)
	case KindVRF:
		return loadInto(&tx.vrfs, v)
	case KindSVI:
		return loadInto(&tx.svis, v)
	case KindInstance:
		return loadInto(&tx.instances, v)
	case KindStaticMAC:
		return loadInto(&tx.statics, v)
	case KindSpeaker:
		return loadInto(&tx.speakers, v)
	case KindNeighbor:
		return loadInto(&tx.neighbors, v)
	}
	return fmt.Errorf("there is no kind %q", v.Kind)
}

func loadInto[T Row[T]](t *Table[T], v value) error {
	o, err := decode[T](v.ID, v.Data)
	if err != nil {
		return fmt.Errorf("%v: %w", Ref{t.kind, clip(v.ID)}, err)
	}
	if err := o.Check(); err != nil {
		return err
	}
	if o, err = o.admit(t.tx, &o); err != nil {
		return err
	}
	i, ok := t.find(v.ID)
	if ok {
		return fmt.Errorf("%v is there twice", o.Ref())
	}
	t.mine()
	t.rows = append(t.rows, o)
	copy(t.rows[i+1:], t.rows[i:])
	t.rows[i] = o
	return nil
}

// values are the changes of a transaction as a backend takes them.
func values(changes []Change) ([]value, error) {
	out := make([]value, len(changes))
	for i, c := range changes {
		if c.New == nil {
			r := c.Old.Ref()
			out[i] = value{Kind: r.Kind, ID: r.ID}
			continue
		}
		r := c.New.Ref()
		data, err := encode(c.New)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", r, err)
		}
		out[i] = value{r.Kind, r.ID, data}
	}
	return out, nil
}

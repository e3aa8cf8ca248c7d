package intent

import (
	"fmt"
	"slices"
	"strings"
)

// with gives the model with the objects that the configuration file gives, and
// which of its own give way to one of those for now. What the file says of an
// object that is not there yet waits for it: references are not checked.
func (m model) with(configured []Object) (model, []Ref, error) {
	var hidden []Ref
	for _, o := range configured {
		if err := o.Check(); err != nil {
			return m, nil, fmt.Errorf("the configuration: %w", err)
		}
		var was bool
		switch o := o.(type) {
		case Instance:
			o.Configured = true
			m.instances, was = put(m.instances, o)
		case Speaker:
			o.Configured = true
			m.speakers, was = put(m.speakers, o)
		case Neighbor:
			o.Configured = true
			m.neighbors, was = put(m.neighbors, o)
		default:
			panic("intent: no configuration file gives a " + string(o.Ref().Kind))
		}
		if was {
			hidden = append(hidden, o.Ref())
		}
	}
	return m, hidden, nil
}

// put sets an object in sorted rows, and reports whether it replaced one.
func put[T Object](rows []T, o T) ([]T, bool) {
	i, was := slices.BinarySearchFunc(rows, o.Ref().ID,
		func(o T, id string) int { return strings.Compare(o.Ref().ID, id) })
	if was {
		rows[i] = o
		return rows, true
	}
	return slices.Insert(rows, i, o), false
}

// changeable says why an object cannot be changed or deleted here, if it is the
// configuration file's.
func changeable(o Object) error {
	var configured bool
	switch o := o.(type) {
	case Instance:
		configured = o.Configured
	case Speaker:
		configured = o.Configured
	case Neighbor:
		configured = o.Configured
	}
	if !configured {
		return nil
	}
	return &Error{Conflict, o.Ref(),
		[]Violation{{Problem: "it is in the configuration file: change it there and restart"}}}
}

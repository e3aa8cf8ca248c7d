package intent

import (
	"fmt"
	"strings"
)

// Reason says what kind of rule was broken. It is an error itself, so that
// errors.Is(err, intent.NotFound) works on every error of this package.
type Reason string

// Reasons. Invalid does not depend on other objects; all others do.
const (
	Invalid   Reason = "invalid"
	NotFound  Reason = "not found"
	Exists    Reason = "already exists"
	Conflict  Reason = "in conflict with other objects"
	Exhausted Reason = "exhausted"
)

func (r Reason) Error() string { return string(r) }

// Violation is one broken rule.
type Violation struct {
	// Field is a field's name in the OPI API, such as "vlan_id"; elements of
	// lists are "logical_bridges[1]"; "" is the object as a whole.
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
	// Subject is the other object that stands in the way, if there is one.
	Subject Ref
}

// Error is a broken rule of an object. The operation that met it changed
// nothing.
type Error struct {
	Reason     Reason
	Object     Ref
	Violations []Violation
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Object.String())
	for i, v := range e.Violations {
		if i == 0 {
			b.WriteString(": ")
		} else {
			b.WriteString("; ")
		}
		if v.Field != "" {
			b.WriteString(v.Field + ": ")
		}
		b.WriteString(v.Problem)
	}
	return b.String()
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Reason }

// violations collects what Validate finds.
type violations []Violation

func (v *violations) add(field, problem string) {
	*v = append(*v, Violation{Field: field, Problem: problem})
}

// check adds what err says of a field, if it says anything.
func (v *violations) check(field string, err error) {
	if err != nil {
		v.add(field, err.Error())
	}
}

// taken adds that a value belongs to another object.
func (v *violations) taken(field string, value any, by Ref) {
	*v = append(*v, Violation{field, fmt.Sprintf("%v belongs to %v: want one that is free", value, by), by})
}

// missing adds that a field refers to an object that is not there.
func (v *violations) missing(field string, r Ref) {
	*v = append(*v, Violation{field, fmt.Sprintf("there is no %v: create it first", r), r})
}

// inUse adds that another object refers to this one.
func (v *violations) inUse(by Ref) {
	*v = append(*v, Violation{"", fmt.Sprintf("%v uses it: delete or change that first", by), by})
}

// invalid, notFound and conflict give the error of that reason for all that was
// found, nil for nothing.
func (v violations) invalid(r Ref) error  { return v.error(Invalid, r) }
func (v violations) notFound(r Ref) error { return v.error(NotFound, r) }
func (v violations) conflict(r Ref) error { return v.error(Conflict, r) }

func (v violations) error(reason Reason, r Ref) error {
	if len(v) == 0 {
		return nil
	}
	return &Error{Reason: reason, Object: r, Violations: v}
}

package pipeline

import (
	"fmt"
	"strings"

	"github.com/p4evpn/p4evpn/softswitch/bmv2json"
)

// assert compiles assert and assume. v1model leaves to the target what one
// that does not hold does; here the packet goes on, and an account says so.
func (pc *primitiveCompiler) assert(name string, v *bmv2json.Value) error {
	holds, err := pc.condition(v)
	if err != nil {
		return err
	}
	pc.do(func(w *Worker) {
		if w.trace != nil && holds(w) == 0 {
			w.trace.note(name, "does not hold")
		}
	})
	return nil
}

// logMessage compiles log_msg, which only accounts show: each {} is the next
// of its values.
func (pc *primitiveCompiler) logMessage(p []bmv2json.Value) error {
	if p[0].Type != "string" || p[1].Type != "parameters_vector" {
		return fmt.Errorf("%q and %q where a text and values are needed: %w", p[0].Type, p[1].Type, ErrUnsupported)
	}
	var values []func(w *Worker) string
	for i := range p[1].List {
		value, err := pc.loggable(&p[1].List[i])
		if err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		values = append(values, value)
	}
	format := p[0].Name
	pc.do(func(w *Worker) {
		if w.trace == nil {
			return
		}
		text := format
		for _, value := range values {
			text = strings.Replace(text, "{}", value(w), 1)
		}
		w.trace.note("log_msg", text)
	})
	return nil
}

func (pc *primitiveCompiler) loggable(v *bmv2json.Value) (func(w *Worker) string, error) {
	src, err := pc.source(v)
	if err != nil {
		return nil, err
	}
	eval, at, n, err := pc.ctx.exact(src)
	if err != nil {
		return nil, err
	}
	return func(w *Worker) string {
		eval(w)
		return fmt.Sprintf("0x%x", appendBytes(nil, w.r[at:at+n]))
	}, nil
}

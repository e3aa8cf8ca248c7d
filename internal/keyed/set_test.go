package keyed

import (
	"math/rand/v2"
	"testing"
)

type value struct{ key, number int }

func keyOf(v *value) int { return v.key }

func TestASetHasWhatAMapHas(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	set, want := New(keyOf), map[int]*value{}
	for step := range 400_000 {
		k := random.IntN(20_000)
		grows := step/100_000%2 == 0 // and then it shrinks
		switch v := want[k]; {
		case set.Find(k) != v:
			t.Fatalf("step %d: key %d is %v, want %v", step, k, set.Find(k), v)
		case v == nil && (grows || random.IntN(8) == 0):
			v = &value{k, step}
			set.Add(v)
			want[k] = v
		case v != nil && (!grows || random.IntN(8) == 0):
			set.Remove(v)
			set.Remove(v) // which is not there
			delete(want, k)
		}
		if set.Len() != len(want) {
			t.Fatalf("step %d: %d values, want %d", step, set.Len(), len(want))
		}
	}
	seen := 0
	for v := range set.All() {
		if want[v.key] != v {
			t.Errorf("key %d: %v, want %v", v.key, v, want[v.key])
		}
		seen++
	}
	if seen != len(want) {
		t.Errorf("%d values are yielded, want %d", seen, len(want))
	}
}

func TestASetGivesItsMemoryBack(t *testing.T) {
	const many = 100_000
	set := New(keyOf)
	values := make([]value, many)
	for i := range values {
		values[i].key = i
		set.Add(&values[i])
	}
	slots := func() (n int) {
		for i := range set.shards {
			n += len(set.shards[i].slots)
		}
		return n
	}
	if n := slots(); n > 8*many/3 {
		t.Errorf("%d slots for %d values", n, many)
	}
	for i := range values[:many-1000] {
		set.Remove(&values[i])
	}
	if n := slots(); n > 16*1000 {
		t.Errorf("%d slots for 1000 values", n)
	}
	for i := many - 1000; i < many; i++ {
		set.Remove(&values[i])
	}
	if n := slots(); n != 0 {
		t.Errorf("%d slots for none", n)
	}
}

func TestKeysThatMeetAreToldApart(t *testing.T) {
	for _, mask := range []uint64{3, 0xff, 0xff<<56 | 0xff, 1<<64 - 1} {
		set := New(keyOf)
		set.mask = mask
		r := rand.New(rand.NewPCG(mask, 1))
		in := map[int]*value{}
		for i := range 4000 {
			grow := i < 2000
			k := r.IntN(300)
			v := set.Find(k)
			if v != in[k] {
				t.Fatalf("mask %x: found %v, want %v", mask, v, in[k])
			}
			switch {
			case v == nil && (grow || r.IntN(4) == 0):
				v = &value{key: k}
				in[k] = v
				set.Add(v)
			case v != nil && !grow || r.IntN(4) == 0 && v != nil:
				delete(in, k)
				set.Remove(v)
			}
		}
		for k, v := range in {
			if got := set.Find(k); got != v {
				t.Fatalf("mask %x: %v is lost", mask, k)
			}
		}
		if set.Len() != len(in) {
			t.Fatalf("mask %x: %d in it, want %d", mask, set.Len(), len(in))
		}
		for _, v := range in {
			set.Remove(v)
		}
		for i := range set.shards {
			if set.shards[i].slots != nil {
				t.Fatalf("mask %x: an empty shard holds memory", mask)
			}
		}
	}
}

package intent

import "net/netip"

func (v VRF) Check() error {
	var bad violations
	bad.check("id", CheckID(v.ID))
	if v.VNI != 0 {
		bad.check("vni", CheckVNI(v.VNI))
	}
	if v.Loopback != (netip.Prefix{}) {
		bad.check("loopback_ip_prefix", CheckLoopback(v.Loopback))
	}
	if v.VTEP != (netip.Prefix{}) {
		bad.check("vtep_ip_prefix", CheckVTEP(v.VTEP))
	}
	return bad.invalid(v.Ref())
}

// admit checks the VRF against all other objects and gives it its index.
func (v VRF) admit(tx *Tx, old *VRF) (VRF, error) {
	var bad violations
	taken := make([]bool, maxIndex+1) // by index
	for _, o := range tx.vrfs.rows {
		if o.ID != v.ID {
			taken[o.Index] = true
		}
	}
	bad.vni(tx, v.VNI, v.Ref())
	if err := bad.conflict(v.Ref()); err != nil {
		return v, err
	}
	if old != nil {
		v.Index = old.Index
		return v, keepIndex(v.Ref(), v.Index, taken)
	}
	var err error
	v.Index, err = freeIndex(v.Ref(), taken)
	return v, err
}

// release checks that the VRF has no SVI and no settings any more.
func (v VRF) release(tx *Tx) error {
	var bad violations
	for _, s := range tx.svis.rows {
		if s.VRF == v.ID {
			bad.inUse(s.Ref())
		}
	}
	bad.instance(tx, v.Ref())
	return bad.conflict(v.Ref())
}

func (v VRF) clone() VRF { return v }

package netport

import "sync/atomic"

// Stats counts frames and bytes since the port was made.
type Stats struct {
	RxFrames, RxBytes uint64
	TxFrames, TxBytes uint64

	RxRingFull  uint64 // lost in the kernel: the ring was full, or an offload that it cannot describe
	RxSegmented uint64 // unsegmented (GSO) frames that were cut up; their segments are among RxFrames
	RxTooLong   uint64 // dropped: longer than the MTU allows, and not segmentable TCP or UDP
	RxMalformed uint64 // the kernel's description of the frame made no sense

	TxDown  uint64 // not sent: the interface is absent or down
	TxFull  uint64 // not sent: the queue of the interface is full
	TxError uint64 // not sent: refused by the kernel, e.g. longer than the MTU

	ClaimsLost uint64 // how often somebody else removed the claim of the interface
}

type counters struct {
	rxFrames, rxBytes, txFrames, txBytes atomic.Uint64
	rxRingFull, rxTooLong, rxMalformed   atomic.Uint64
	rxSegmented                          atomic.Uint64
	txDown, txFull, txError              atomic.Uint64
	claimsLost                           atomic.Uint64
}

// Stats returns the counters of the port. It may be called at any time.
func (p *Port) Stats() Stats {
	p.mu.Lock()
	p.collectKernelDrops()
	p.mu.Unlock()
	c := &p.counters
	return Stats{
		RxFrames: c.rxFrames.Load(), RxBytes: c.rxBytes.Load(),
		TxFrames: c.txFrames.Load(), TxBytes: c.txBytes.Load(),
		RxRingFull: c.rxRingFull.Load(), RxTooLong: c.rxTooLong.Load(), RxSegmented: c.rxSegmented.Load(),
		RxMalformed: c.rxMalformed.Load(),
		TxDown:      c.txDown.Load(), TxFull: c.txFull.Load(), TxError: c.txError.Load(),
		ClaimsLost: c.claimsLost.Load(),
	}
}

// collectKernelDrops adds what the kernel dropped since the last call, which
// it forgets when read. The caller holds p.mu.
func (p *Port) collectKernelDrops() {
	for _, r := range p.rx {
		p.counters.rxRingFull.Add(r.kernelDrops())
	}
}

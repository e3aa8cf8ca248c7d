package softswitch

import (
	"errors"

	"github.com/p4evpn/p4evpn/softswitch/netport"
	"github.com/p4evpn/p4evpn/softswitch/p4rtserver"
	"github.com/p4evpn/p4evpn/softswitch/pipeline"
)

// maxPending bounds the frames that wait in a lane to be sent: a batch that is
// flooded to many ports leaves in parts.
const maxPending = 1024

// lane is what one goroutine needs to carry frames through the pipeline.
type lane struct {
	sw         *Switch
	port       uint32 // where the frames come from
	forwarding *p4rtserver.Forwarding
	worker     *pipeline.Worker
	gate       *p4rtserver.Gate
	sender     *netport.Sender
	pending    [][][]byte // by index into sw.ports
	used       []int      // those that are not empty
}

func newLane(sw *Switch, port uint32) *lane {
	return &lane{sw: sw, port: port, gate: sw.server.NewGate(), sender: netport.NewSender(),
		pending: make([][][]byte, len(sw.ports))}
}

var errNoPipeline = errors.New("the switch has no pipeline")

// carry runs a batch of frames through the committed pipeline and sends what
// comes out. A pipeline that is committed meanwhile takes effect with the next
// batch.
func (l *lane) carry(frames [][]byte) error {
	f := l.sw.server.Forwarding()
	if f == nil {
		l.sw.noPipeline.Add(uint64(len(frames)))
		return errNoPipeline
	}
	if f != l.forwarding {
		l.forwarding, l.worker = f, f.Pipeline.NewWorker(f)
	}
	l.gate.Enter()
	defer l.gate.Leave()
	for _, frame := range frames {
		l.worker.Process(l.port, frame)
		if len(l.worker.Out) >= maxPending {
			l.flush()
		}
	}
	l.flush()
	return nil
}

// flush sends what the worker put out, port by port.
func (l *lane) flush() {
	for i := range l.worker.Out {
		out := &l.worker.Out[i]
		index := l.sw.portIndex(out.Port)
		switch {
		case index >= 0:
			if len(l.pending[index]) == 0 {
				l.used = append(l.used, index)
			}
			l.pending[index] = append(l.pending[index], out.Data)
		case out.Port == l.sw.cfg.CPUPort && out.Port != 0:
			l.forwarding.PacketIn(out.Data)
		default:
			l.sw.noPort.Add(1)
		}
	}
	for _, index := range l.used {
		l.sender.Send(l.sw.ports[index], l.pending[index])
		l.pending[index] = l.pending[index][:0]
	}
	l.used = l.used[:0]
	l.worker.Reset()
}

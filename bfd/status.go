package bfd

import (
	"net/netip"
	"time"
)

// Status is what is known of a session. The zero value is that of no session.
type Status struct {
	Peer netip.Addr `json:"peer"`
	// Discriminator is ours: another one is another session.
	Discriminator       uint32 `json:"discriminator"`
	RemoteDiscriminator uint32 `json:"remote_discriminator"`
	State               State  `json:"state"`
	RemoteState         State  `json:"remote_state"`
	// LastDown is why the session went down the last time, RemoteDiagnostic what the peer
	// said last.
	LastDown         Diagnostic `json:"last_down"`
	RemoteDiagnostic Diagnostic `json:"remote_diagnostic"`
	Since            time.Time  `json:"since"` // of State
	// Failures is how often the path was lost while the session was up; that the peer went
	// down by its administrator's will, or took its session away, is none.
	Failures uint64 `json:"failures"`
	// Independent is that the peer's BFD does not share fate with its control plane (RFC
	// 5882 section 4.3). Ours never does.
	Independent bool `json:"independent"`
	// Transmission is the interval at which we send, before jitter, and Detection the time
	// without a packet after which the path is lost.
	Transmission time.Duration `json:"transmission"`
	Detection    time.Duration `json:"detection"`
	// Trouble is why packets cannot be sent, empty when they can.
	Trouble string `json:"trouble,omitempty"`
}

// Status gives what is known of the session, but for its peer.
func (s *Session) Status() Status {
	return Status{
		Discriminator: s.mine, RemoteDiscriminator: s.yours, State: s.state, RemoteState: s.remoteState,
		LastDown: s.lastDown, RemoteDiagnostic: s.remoteDiag, Since: s.since, Failures: s.failures,
		Independent: s.independent, Transmission: s.transmission(), Detection: s.Detection(),
	}
}

// FailedSince reports whether the path was lost between two looks at one session.
func (s Status) FailedSince(before Status) bool {
	return s.Discriminator != 0 && s.Discriminator == before.Discriminator && s.Failures > before.Failures
}

package p4rtserver

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Connection is a client's connection, as the AuthInfo of its peer. The one over which the
// default role's primary has its stream is the controller's; all others are strangers',
// who may ask, but not for much.
type Connection interface {
	// SetPrimary tells whether that stream is on the connection now.
	SetPrimary(bool)
	Primary() bool
}

// connectionOf is nil where the gRPC server tells of none; such a client has no bounds.
func connectionOf(ctx context.Context) Connection {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	c, _ := p.AuthInfo.(Connection)
	return c
}

// What strangers may read at a time. All that a Read found is in memory until it was
// taken.
const (
	strangersReads = 2
	// strangersTime is what such a Read may take.
	strangersTime = 30 * time.Second
)

// admitRead gives a Read of a stranger one of the few turns; done gives it back.
func (s *Server) admitRead(ctx context.Context) (done func(), err error) {
	if c := connectionOf(ctx); c == nil || c.Primary() {
		return func() {}, nil
	}
	select {
	case s.reading <- struct{}{}:
		return func() { <-s.reading }, nil
	default:
		s.counters.readsRefused.Add(1)
		return nil, status.Errorf(codes.ResourceExhausted,
			"%d clients that are not primary are reading already: try again", strangersReads)
	}
}

// TimeOfRead is how long a stranger's Read may last: for the gRPC server's tap, since a
// handler that waits for its client to take an answer is ended by its context alone.
func TimeOfRead(ctx context.Context) (time.Duration, bool) {
	c := connectionOf(ctx)
	return strangersTime, c != nil && !c.Primary()
}

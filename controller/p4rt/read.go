package p4rt

import (
	"context"
	"errors"
	"fmt"
	"io"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// Read calls f for each entity that matches one of the given ones (P4Runtime
// 11.1: a zero id or an absent match is a wildcard). An error of f ends it and
// is returned. It needs a connection, and not to be primary.
//
// BMv2 forwards nothing while it reads a big table, and answers a Read with one
// message, however long.
func (c *Client) Read(ctx context.Context, entities []*p4v1.Entity, f func(*p4v1.Entity) error) error {
	s, err := c.reader()
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	if known, ok := s.kept.take(entities); ok {
		for _, e := range known {
			if err := f(e); err != nil {
				return err
			}
		}
		return nil
	}
	var own error
	err = s.readEntities(ctx, entities, func(e *p4v1.Entity) error {
		own = f(e)
		return own
	})
	switch {
	case own != nil:
		return own
	case err != nil:
		return fmt.Errorf("read: %w", s.rpcError(ctx, err))
	}
	return nil
}

func (s *session) readEntities(ctx context.Context, entities []*p4v1.Entity, f func(*p4v1.Entity) error) error {
	ctx, cancel := context.WithCancel(ctx) // ends the stream when f fails
	defer cancel()
	stream, err := s.rpc.Read(ctx, &p4v1.ReadRequest{DeviceId: s.cfg.DeviceID, Entities: entities})
	if err != nil {
		return err
	}
	for {
		rsp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range rsp.GetEntities() {
			if err := f(e); err != nil {
				return err
			}
		}
	}
}

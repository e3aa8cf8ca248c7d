package p4rt

import (
	"errors"
	"fmt"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Sentinels for errors.Is.
var (
	// ErrNotConnected: there is no connection to the target now, or it broke.
	ErrNotConnected = errors.New("not connected to the target")
	// ErrNotPrimary: another controller is primary, the target takes no writes
	// of ours.
	ErrNotPrimary = errors.New("not the primary controller of the target")
	// ErrRefused: the target answers, and rejects this controller or its
	// pipeline.
	ErrRefused = errors.New("refused by the target")

	// ErrUnknownOutcome: the update was sent, and the target did not say
	// whether it succeeded. Read the entry back to know.
	ErrUnknownOutcome = errors.New("outcome unknown")
	// ErrNotWritten: the update was not sent, since an earlier part of the same
	// call failed as a whole.
	ErrNotWritten = errors.New("not written")
	// ErrSkipped: a Plan did not write the update, since one that it depends on
	// failed.
	ErrSkipped = errors.New("skipped")

	// What a target answers for one update (P4Runtime 12.3).
	ErrAlreadyExists     = codeError(codes.AlreadyExists)
	ErrNotFound          = codeError(codes.NotFound)
	ErrInvalidArgument   = codeError(codes.InvalidArgument)
	ErrResourceExhausted = codeError(codes.ResourceExhausted)
	ErrUnimplemented     = codeError(codes.Unimplemented)
)

// codeError is what an UpdateError with that code is, to errors.Is.
type codeError codes.Code

func (e codeError) Error() string { return codes.Code(e).String() }

// UpdateError is the target's own answer for one update of a Write: the update
// had no effect.
type UpdateError struct {
	// Index is the update's place in the slice given to Write.
	Index  int
	Update Update
	// Code is never OK. BMv2 says Unknown for a table that is full.
	Code    codes.Code
	Message string
	// Space and TargetCode are the target's own error code and its name space,
	// empty and 0 if it gives none.
	Space      string
	TargetCode int32
}

func (e *UpdateError) Error() string {
	msg := e.Message
	if msg == "" {
		msg = "no reason given"
	}
	return fmt.Sprintf("%v of %s refused: %v: %s", e.Update.GetType(), describe(e.Update.GetEntity()), e.Code, msg)
}

// Is matches the sentinel of the code, such as ErrAlreadyExists.
func (e *UpdateError) Is(target error) bool {
	c, ok := target.(codeError)
	return ok && codes.Code(c) == e.Code
}

// GRPCStatus makes status.Code work on it.
func (e *UpdateError) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// SkipError says why a Plan did not write an update. It is ErrSkipped, and
// unwraps to the error of the update that it depends on.
type SkipError struct {
	Key   string // of the update that failed
	Cause error
}

func (e *SkipError) Error() string {
	return fmt.Sprintf("skipped, since %s failed: %v", e.Key, e.Cause)
}
func (e *SkipError) Unwrap() error        { return e.Cause }
func (e *SkipError) Is(target error) bool { return target == ErrSkipped }

// describe names an entity for an error message, by the ids of P4Info.
func describe(e *p4v1.Entity) string {
	switch e := e.GetEntity().(type) {
	case *p4v1.Entity_TableEntry:
		return fmt.Sprintf("table entry %v", e.TableEntry)
	case *p4v1.Entity_PacketReplicationEngineEntry:
		if g := e.PacketReplicationEngineEntry.GetMulticastGroupEntry(); g != nil {
			return fmt.Sprintf("multicast group %d of %d replicas", g.GetMulticastGroupId(), len(g.GetReplicas()))
		}
		return fmt.Sprintf("clone session %d", e.PacketReplicationEngineEntry.GetCloneSessionEntry().GetSessionId())
	case *p4v1.Entity_DigestEntry:
		return fmt.Sprintf("digest %d", e.DigestEntry.GetDigestId())
	case nil:
		return "no entity"
	default:
		return fmt.Sprintf("%T", e)
	}
}

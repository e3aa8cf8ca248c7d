package p4rtserver

import (
	"encoding/binary"

	p4v1 "github.com/p4lang/p4runtime/go/p4/v1"
)

// metadataEscape starts packed metadata that holds more than the bytes of
// TableEntry.metadata: 8 bytes of controller metadata and 2 of semantics come
// before them.
const metadataEscape = 0xff

const escapedBytes = 1 + 8 + 2

// setSemantics is how a client spelled the mode and the semantics of an
// action set, so that it is read as it was written.
type setSemantics struct {
	mode p4v1.ActionProfileActionSet_ActionSelectionMode
	size p4v1.ActionProfileActionSet_SizeSemantics
}

func semanticsOf(set *p4v1.ActionProfileActionSet) setSemantics {
	return setSemantics{set.GetActionSelectionMode(), set.GetSizeSemantics()}
}

// packMetadata joins an entry's metadata, its (deprecated) controller metadata
// and its action set's semantics into what the pipeline keeps: nearly always
// the first as it is.
func packMetadata(te *p4v1.TableEntry, s setSemantics) []byte {
	cookie := controllerMetadata(te)
	if cookie == 0 && s == (setSemantics{}) && (len(te.Metadata) == 0 || te.Metadata[0] != metadataEscape) {
		return te.Metadata
	}
	packed := append(make([]byte, 0, escapedBytes+len(te.Metadata)), metadataEscape)
	packed = append(binary.BigEndian.AppendUint64(packed, cookie), byte(s.mode), byte(s.size))
	return append(packed, te.Metadata...)
}

func unpackMetadata(te *p4v1.TableEntry, packed []byte) {
	if len(packed) >= escapedBytes && packed[0] == metadataEscape {
		setControllerMetadata(te, binary.BigEndian.Uint64(packed[1:]))
		packed = packed[escapedBytes:]
	}
	if len(packed) > 0 {
		te.Metadata = packed
	}
}

// semanticsIn returns the semantics in packed metadata.
func semanticsIn(packed []byte) (s setSemantics) {
	if len(packed) >= escapedBytes && packed[0] == metadataEscape {
		s.mode = p4v1.ActionProfileActionSet_ActionSelectionMode(packed[9])
		s.size = p4v1.ActionProfileActionSet_SizeSemantics(packed[10])
	}
	return s
}

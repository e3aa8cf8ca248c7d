package p4

import (
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"fmt"
	"sync"

	p4configv1 "github.com/p4lang/p4runtime/go/p4/config/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

//go:embed p4evpn.json
var deviceConfig []byte

//go:embed p4evpn.p4info.txtpb
var p4info []byte

var parsedInfo = sync.OnceValue(func() *p4configv1.P4Info {
	info := &p4configv1.P4Info{}
	if err := prototext.Unmarshal(p4info, info); err != nil {
		// The file is compiled in and a test reads it: this cannot be met
		// outside a broken build.
		panic(fmt.Sprintf("p4: embedded P4Info: %v", err))
	}
	return info
})

// P4Info is the program's control-plane description. The caller must not change
// it.
func P4Info() *p4configv1.P4Info { return parsedInfo() }

// DeviceConfig is the program as BMv2 JSON: the p4_device_config of
// SetForwardingPipelineConfig for BMv2 and the embedded switch. The caller must
// not change it.
func DeviceConfig() []byte { return deviceConfig }

// Cookie identifies the program and its P4Info: a target that answers it runs
// this very version (P4Runtime section 11.3). It is never 0.
var Cookie = sync.OnceValue(func() uint64 {
	h := sha256.New()
	h.Write(p4info)
	h.Write(deviceConfig)
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1
})

package netport

import "github.com/safchain/ethtool"

// receiveOffloads merge frames before a packet socket sees them.
var receiveOffloads = []string{"rx-gro", "rx-gro-list", "rx-udp-gro-forwarding", "rx-gro-hw", "rx-lro"}

// disableReceiveOffloads switches off what is on and may be changed, and
// returns what it changed. Without the permission, or where the driver has no
// such features, merged frames are counted as too long instead.
func disableReceiveOffloads(name string) []string {
	tool, err := ethtool.NewEthtool()
	if err != nil {
		return nil
	}
	defer tool.Close()
	features, err := tool.FeaturesWithState(name)
	if err != nil {
		return nil
	}
	var changed []string
	for _, feature := range receiveOffloads {
		state, ok := features[feature]
		if !ok || !state.Active || state.NeverChanged {
			continue
		}
		if tool.Change(name, map[string]bool{feature: false}) == nil {
			changed = append(changed, feature)
		}
	}
	return changed
}

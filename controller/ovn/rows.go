package ovn

import "github.com/ovn-kubernetes/libovsdb/model"

// Rows as far as they are read or written here. A row is pointed to by its tables alone.

// logicalSwitch is a row of OVN_Northbound.
type logicalSwitch struct {
	UUID  string   `ovsdb:"_uuid"`
	Name  string   `ovsdb:"name"` // need not be unique
	Ports []string `ovsdb:"ports"`
}

// logicalSwitchPort is a row of OVN_Northbound.
type logicalSwitchPort struct {
	UUID        string            `ovsdb:"_uuid"`
	Name        string            `ovsdb:"name"` // unique
	Type        string            `ovsdb:"type"`
	Options     map[string]string `ovsdb:"options"`
	Addresses   []string          `ovsdb:"addresses"`
	Dynamic     *string           `ovsdb:"dynamic_addresses"`
	TagRequest  *int              `ovsdb:"tag_request"`
	Up          *bool             `ovsdb:"up"`
	Enabled     *bool             `ovsdb:"enabled"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

// logicalRouterPort is a row of OVN_Northbound.
type logicalRouterPort struct {
	UUID     string   `ovsdb:"_uuid"`
	Name     string   `ovsdb:"name"` // unique
	MAC      string   `ovsdb:"mac"`
	Networks []string `ovsdb:"networks"`
}

// portGroup is a row of OVN_Northbound.
type portGroup struct {
	UUID        string            `ovsdb:"_uuid"`
	Name        string            `ovsdb:"name"` // unique
	Ports       []string          `ovsdb:"ports"`
	ACLs        []string          `ovsdb:"acls"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

// acl is a row of OVN_Northbound.
type acl struct {
	UUID        string            `ovsdb:"_uuid"`
	Direction   string            `ovsdb:"direction"`
	Priority    int               `ovsdb:"priority"`
	Match       string            `ovsdb:"match"`
	Action      string            `ovsdb:"action"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

// openVSwitch is the one row of its table.
type openVSwitch struct {
	UUID        string            `ovsdb:"_uuid"`
	Bridges     []string          `ovsdb:"bridges"`
	NextConfig  int               `ovsdb:"next_cfg"` // counted up by who changes something
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

// bridgeRow is a row of Open_vSwitch's Bridge.
type bridgeRow struct {
	UUID         string            `ovsdb:"_uuid"`
	Name         string            `ovsdb:"name"`
	Ports        []string          `ovsdb:"ports"`
	DatapathType string            `ovsdb:"datapath_type"`
	FailMode     *string           `ovsdb:"fail_mode"`
	ExternalIDs  map[string]string `ovsdb:"external_ids"`
}

// portRow is a row of Open_vSwitch's Port.
type portRow struct {
	UUID        string            `ovsdb:"_uuid"`
	Name        string            `ovsdb:"name"`
	Interfaces  []string          `ovsdb:"interfaces"`
	Trunks      []int             `ovsdb:"trunks"` // VLANs; none = all
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

// interfaceRow is a row of Open_vSwitch's Interface.
type interfaceRow struct {
	UUID        string            `ovsdb:"_uuid"`
	Name        string            `ovsdb:"name"`
	Type        string            `ovsdb:"type"`
	Options     map[string]string `ovsdb:"options"`
	Error       *string           `ovsdb:"error"`
	ExternalIDs map[string]string `ovsdb:"external_ids"`
}

func northboundModel() (model.ClientDBModel, error) {
	return model.NewClientDBModel("OVN_Northbound", map[string]model.Model{
		"Logical_Switch": &logicalSwitch{}, "Logical_Switch_Port": &logicalSwitchPort{},
		"Logical_Router_Port": &logicalRouterPort{}, "Port_Group": &portGroup{}, "ACL": &acl{},
	})
}

func openVSwitchModel() (model.ClientDBModel, error) {
	return model.NewClientDBModel("Open_vSwitch", map[string]model.Model{
		"Open_vSwitch": &openVSwitch{}, "Bridge": &bridgeRow{}, "Port": &portRow{}, "Interface": &interfaceRow{},
	})
}

// Package api serves the OPI EVPN GW API (opi_api.network.evpn_gw.v1alpha1) and
// the services of p4evpn.v1 over gRPC, with reflection and health, and over REST at the
// same address, with an OpenAPI document. Every call of either way passes the guard:
// request id, limits, role, access log.
//
// It translates: messages to objects of package intent and back, broken rules to
// status codes with the field in the details. The rules themselves are intent's,
// the status of objects and the rows of View are the controller's, which it knows
// by the interfaces intent.StatusSource and view.View only. What the standard
// methods do (AIP-131 to 135, 158, 161) is written once, in collection.
package api

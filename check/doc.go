// Package check says whether the target does what objects, configuration and routes ask for.
//
// Its oracle goes from these, by the text of the RFCs, to where a frame must end, and knows
// nothing of entries: it is not the controller's model of them, and has none of its code. The
// frames are representative ones, for each station, host, prefix, gateway, flood list and
// answer, and one for each entry that there is, so that what nobody asked for is found too. A
// shadow of the target (package softswitch/shadow) says where each frame does end.
//
// A difference counts when it is there a second time: what is under way is none.
package check

package controller

import "maps"

// without takes a key out of a map, and gives the map: another one when there is a quarter
// left of the most that there were, since a map itself never gives memory back. Who ranges
// over the map meanwhile goes on with the one that was.
func without[K comparable, V any](m map[K]V, key K, most *int) map[K]V {
	*most = max(*most, len(m))
	delete(m, key)
	if *most < 64 || len(m) > *most/4 {
		return m
	}
	few := make(map[K]V, len(m))
	maps.Copy(few, m)
	*most = len(m)
	return few
}

package config

import (
	"maps"
	"slices"
	"strings"
)

// suggest says what may have been meant by an unknown key: the nearest one, or else all there are.
func suggest(key string, fields map[string]field) string {
	known := slices.Sorted(maps.Keys(fields))
	best, least := "", 1+max(1, len(key)/3)
	if len(key) > keyMost { // a file is not to choose how long this takes
		least = 0
	}
	for _, k := range known {
		if least <= max(len(k)-len(key), len(key)-len(k)) {
			continue
		}
		if d := distance(strings.ToLower(key), k); d < least {
			best, least = k, d
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}

// distance counts the letters to insert, remove, change or swap with their neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}

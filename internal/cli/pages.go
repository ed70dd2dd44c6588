package cli

import "slices"

// Pages gathers a list whose newest rows come first in asking and last in what is given: ask gets how many rows are wanted and the older of the rows that are there, and gives those
// before them. limit 0 is all.
func Pages[T any](limit, page int, ask func(page int, newer []T) ([]T, error)) ([]T, error) {
	var pages [][]T
	var newer []T
	for have := 0; limit == 0 || have < limit; have += len(newer) {
		want := page
		if limit > 0 {
			want = min(page, limit-have)
		}
		rows, err := ask(want, newer)
		if err != nil {
			return nil, err
		}
		newer, pages = rows, append(pages, rows)
		if len(rows) < want {
			break
		}
	}
	slices.Reverse(pages)
	return append([]T{}, slices.Concat(pages...)...), nil
}

package cli

import (
	"errors"
	"slices"
	"testing"
)

func TestPagesAreOneList(t *testing.T) {
	var all []int
	for n := range 10 {
		all = append(all, n)
	}
	for limit := range 13 {
		for page := 1; page < 13; page++ {
			got, err := pages(limit, page, func(want int, newer []int) ([]int, error) {
				if want > page || limit > 0 && want > limit {
					t.Errorf("limit %d, page %d: %d rows are asked for at once", limit, page, want)
				}
				end := len(all)
				if len(newer) > 0 {
					end = newer[0]
				}
				return all[max(0, end-want):end], nil
			})
			want := all
			if limit > 0 {
				want = all[max(0, len(all)-limit):]
			}
			if err != nil || !slices.Equal(got, want) {
				t.Fatalf("limit %d, page %d: %v, %v", limit, page, got, err)
			}
		}
	}
	none, err := pages(0, 5, func(int, []int) ([]int, error) { return nil, nil })
	if err != nil || none == nil || len(none) > 0 {
		t.Errorf("an empty list is %v, %v", none, err)
	}
	broken := errors.New("broken")
	if _, err := pages(0, 1, func(int, []int) ([]int, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}

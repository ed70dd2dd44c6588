package group

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

type request struct {
	n            int
	posted, slow bool
}

func (r *request) Posted() bool { return r.posted }
func (r *request) Slow() bool   { return r.slow }

// send hands requests over, each after a time.
func send(c chan<- *request, list ...*request) {
	for _, r := range list {
		c <- r
	}
}

func TestGroups(t *testing.T) {
	waited, posted, slow := &request{n: 1}, &request{n: 2, posted: true}, &request{n: 3, slow: true}
	for _, x := range []struct {
		name  string
		first *request
		there []*request // at once
		later *request   // after a millisecond
		late  *request   // after twice PostedWait
		most  int
		want  []int
		next  *request
		took  time.Duration
	}{
		{"one that is waited for goes alone", waited, nil, waited, nil, 9, []int{1}, nil, 0},
		{"with all that are there", waited, []*request{posted, waited, posted}, nil, nil, 9, []int{1, 2, 1, 2}, nil, 0},
		{"up to a number", waited, []*request{posted, waited, posted}, nil, nil, 2, []int{1, 2}, nil, 0},
		{"posted ones wait for one that is waited for", posted, []*request{posted}, waited, nil, 9, []int{2, 2, 1}, nil, time.Millisecond},
		{"and not for ever", posted, []*request{posted}, nil, waited, 9, []int{2, 2}, nil, PostedWait},
		{"their time is counted from the first of them", posted, nil, posted, nil, 9, []int{2, 2}, nil, PostedWait},
		{"nothing waits for a slow one", posted, []*request{posted, slow, posted}, nil, nil, 9, []int{2, 2}, slow, 0},
		{"which begins the next group, and takes other slow ones along", slow, []*request{posted, slow, waited}, nil, nil, 9, []int{3, 2, 3, 1}, nil, 0},
	} {
		t.Run(x.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := make(chan *request, 16)
				send(c, x.there...)
				for r, after := range map[*request]time.Duration{x.later: time.Millisecond, x.late: 2 * PostedWait} {
					if r != nil {
						time.AfterFunc(after, func() { c <- r })
					}
				}
				var got []int
				began := time.Now()
				next := Gather(x.first, c, func(r *request) bool {
					got = append(got, r.n)
					return len(got) < x.most
				})
				if took := time.Since(began); !slices.Equal(got, x.want) || next != x.next || took != x.took {
					t.Errorf("took %v in %v and left %v, want %v in %v and %v", got, took, next, x.want, x.took, x.next)
				}
			})
		})
	}
}

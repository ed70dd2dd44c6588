package dispatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"ecluse/internal/examine"
	"ecluse/internal/policy"
	"ecluse/protocol/bundle"
	"ecluse/sender/ledger"
	"ecluse/sender/outbox"
)

// ruled has the first of some tenants hold content against rules, by an answer.
func (y *yard) ruled(look func(context.Context, examine.Job) (*examine.Report, error)) {
	y.rules = map[int]*policy.Rules{0: {Archives: policy.DefaultArchives}}
	y.look = look
}

func lets(context.Context, examine.Job) (*examine.Report, error) {
	return &examine.Report{Files: 1, Fenced: true}, nil
}

func refuses(context.Context, examine.Job) (*examine.Report, error) {
	return &examine.Report{Files: 1, More: 2, Findings: []policy.Finding{
		{Reason: bundle.ReasonPolicyName, Path: "item/b.zip!c.exe", Text: "it may not be called so"}, {Reason: bundle.ReasonPolicyType, Path: "item/\x1b[2J", Text: "it is a program"},
	}}, nil
}

// sent says whether anything of a bundle has come.
func (y *yard) sent(id bundle.ID) bool {
	return y.high.see(id, func(a *arrived) bool { return len(a.offers)+len(a.chunks)+len(a.closes)+len(a.abandon) > 0 })
}

func TestWhatAPolicyDoesNotLetInIsNotSent(t *testing.T) {
	y := build(t)
	y.ruled(refuses)
	l := y.start()
	item := l.send("item", content)
	r := l.reach(item.ID, ledger.Failed)
	const says = "not let in by the policy of tenant default: item/b.zip!c.exe: it may not be called so (policy-name)\n\"item/\\x1b[2J\": it is a program (policy-type)\nand 2 more"
	if r.Reason == nil || *r.Reason != says {
		t.Errorf("the reason is %v", r.Reason)
	}
	found := y.place(0, "failed")
	if text := string(found[item.ID.String()+"/REASON.txt"]); !strings.Contains(text, says) || string(found[item.ID.String()+"/item/a"]) != string(content["a"]) {
		t.Errorf("in failed/ stand %v, and %q", keys(found), text)
	}
	y.look = lets
	l.o.Examine = lets
	next := l.send("next", content)
	l.reach(next.ID, ledger.Sent)
	y.whole(next, content, 1)
	if y.sent(item.ID) {
		t.Error("something of it was sent")
	}
}

// Nothing leaves before the answer, whichever it is and however long that takes; and a failure is none.
func TestNothingIsSentUnexamined(t *testing.T) {
	y := build(t)
	asked, answer := make(chan examine.Job, 100), make(chan error)
	y.ruled(func(ctx context.Context, j examine.Job) (*examine.Report, error) {
		asked <- j
		select {
		case err := <-answer:
			if err != nil {
				return nil, err
			}
			return lets(ctx, j)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	})
	l := y.start()
	item := l.send("item", content)
	for _, life := range []string{"first", "second"} {
		for range 3 {
			j := <-asked
			if got, err := os.ReadFile(filepath.Join(j.Root, j.Item, "a")); err != nil || string(got) != string(content["a"]) || j.Room <= 0 {
				t.Errorf("asked to look at %+v, %v", j, err)
			}
			if y.sent(item.ID) {
				t.Fatalf("%s life: something was sent before it was looked into", life)
			}
			answer <- errors.New("the child crashed")
			eventually(t, "it is told", func() bool {
				u := l.Unexamined()
				return len(u) == 1 && u[0].Tenant == "default" && strings.Contains(u[0].Why, "crashed")
			})
		}
		if life == "first" {
			<-asked
			must(t, l.end())
			l = y.start()
		}
	}
	<-asked
	answer <- nil
	l.reach(item.ID, ledger.Sent)
	y.whole(item, content, 1)
	if u := l.Unexamined(); len(u) > 0 {
		t.Errorf("it is out, and told: %v", u)
	}
}

// Else two tenants with a large item each would keep everybody's from leaving for hours.
func TestASmallItemIsLookedIntoBesideLargeOnes(t *testing.T) {
	y := build(t, "small", "large", "larger")
	y.rules = make(map[int]*policy.Rules)
	asked, answer := make(chan string, 10), make(chan struct{})
	y.look = func(ctx context.Context, j examine.Job) (*examine.Report, error) {
		asked <- j.Item
		if j.Item == "small" {
			return lets(ctx, j)
		}
		select {
		case <-answer:
			return refuses(ctx, j)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	for tenant := range y.tenants {
		y.rules[tenant] = &policy.Rules{Archives: policy.DefaultArchives}
	}
	l := y.start()
	var large []outbox.Item
	for _, tenant := range []int{1, 2} {
		name := string(y.tenants[tenant])
		y.drop(tenant, name, content)
		must(t, os.Truncate(filepath.Join(y.boxes[tenant].Dir(), name, "a"), examineHeavy+1))
		item := y.claim(tenant, bundle.Normal, name, nil)
		must(t, l.Submit(item))
		large = append(large, item)
	}
	first := <-asked
	for range 3 {
		small := l.send("small", content)
		if next := <-asked; next != "small" {
			t.Fatalf("%s is looked into beside %s", next, first)
		}
		l.reach(small.ID, ledger.Sent)
	}
	answer <- struct{}{}
	if next := <-asked; next == first {
		t.Errorf("%s is looked into twice", next)
	}
	answer <- struct{}{}
	for _, item := range large {
		l.reach(item.ID, ledger.Failed)
	}
}

func TestWhatChangedAfterItWasLookedIntoIsNotSent(t *testing.T) {
	y := build(t)
	var where atomic.Pointer[string]
	y.ruled(func(ctx context.Context, j examine.Job) (*examine.Report, error) {
		path := filepath.Join(j.Root, j.Item, "a")
		r, err := lets(ctx, j)
		where.Store(&path)
		return r, errors.Join(err, os.WriteFile(path, noise(2, 60_000), 0o644))
	})
	l := y.start()
	item := l.send("item", content)
	r := l.reach(item.ID, ledger.Failed)
	if where.Load() == nil || r.Reason == nil || !strings.Contains(*r.Reason, "looked into") || y.sent(item.ID) {
		t.Errorf("%v, sent %v", r.Reason, y.sent(item.ID))
	}
}

func TestALongExaminationHoldsUpNobodyElse(t *testing.T) {
	y := build(t, "slow", "other", "plain")
	hang := make(chan struct{})
	var order []string
	var mu sync.Mutex
	y.ruled(func(ctx context.Context, j examine.Job) (*examine.Report, error) {
		mu.Lock()
		order = append(order, j.Item)
		mu.Unlock()
		if j.Item == "first" {
			<-hang
		}
		return lets(ctx, j)
	})
	y.rules[1] = y.rules[0]
	l := y.start()
	submit := func(tenant int, class bundle.Class, name string) bundle.ID {
		item := y.claim(tenant, class, name, content)
		must(t, l.Submit(item))
		return item.ID
	}
	first := submit(0, bundle.Normal, "first")
	eventually(t, "it is looked into", func() bool { mu.Lock(); defer mu.Unlock(); return len(order) == 1 })
	bulk, urgent := submit(0, bundle.Bulk, "bulk"), submit(0, bundle.Urgent, "urgent")
	l.reach(submit(1, bundle.Normal, "others"), ledger.Sent)
	l.reach(submit(2, bundle.Normal, "plain"), ledger.Sent) // nobody looks into it
	close(hang)
	for _, id := range []bundle.ID{first, bulk, urgent} {
		l.reach(id, ledger.Sent)
	}
	mu.Lock()
	defer mu.Unlock()
	if got := strings.Join(order, " "); got != "first others urgent bulk" {
		t.Errorf("looked into in the order %s", got)
	}
}

// What cannot travel fails with its own reason, and is not looked into again and again.
func TestWhatCannotTravelFailsBeforeItIsLookedInto(t *testing.T) {
	y := build(t)
	y.ruled(func(context.Context, examine.Job) (*examine.Report, error) {
		t.Error("it was looked into")
		return nil, errors.New("no")
	})
	l := y.start()
	item := y.claim(0, bundle.Normal, "item", content)
	must(t, os.Symlink("nowhere", filepath.Join(item.Path, "link")))
	must(t, l.Submit(item))
	if r := l.reach(item.ID, ledger.Failed); r.Reason == nil || !strings.Contains(*r.Reason, "symbolic link") {
		t.Errorf("the reason is %v", r.Reason)
	}
}

package lab

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// soak reads how many are asked for, and skips the test where none are: scripts/soak.sh sets the variable by scripts/counts.
func soak(t *testing.T, variable string) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(variable))
	if err != nil || n < 1 {
		t.Skipf("not a soak: %s says how many", variable)
	}
	return n
}

// TestSoakMatrix is the full matrix, as often as it is asked for.
func TestSoakMatrix(t *testing.T) {
	times := soak(t, "ECLUSE_SOAK_MATRIX")
	for n := range times {
		for _, mtu := range []int{1500, 9000} {
			for _, loss := range []string{"0", "1", "3"} {
				ok := t.Run(fmt.Sprintf("%d, MTU %d, loss %s%%", n+1, mtu, loss), func(t *testing.T) {
					matrix(t, options{mtu: mtu, loss: loss, stated: "3%"}, full)
				})
				if !ok {
					t.Fatalf("failed after %d full matrices", n)
				}
			}
		}
	}
	t.Logf("soak matrix: %d done", times)
}

// TestSoakLarge sends what is largest: 10 GiB in one file, 500,000 files in one tree, and an urgent file beside 5 GiB.
func TestSoakLarge(t *testing.T) {
	times := soak(t, "ECLUSE_SOAK_LARGE")
	for range times {
		t.Run("10 GiB", func(t *testing.T) {
			memory(t, 9000, func(p string) { random(t, p, 6, 10<<30) })
		})
		t.Run("500,000 files", func(t *testing.T) {
			memory(t, 9000, func(p string) { many(t, p, 500_000) })
		})
		t.Run("urgent beside 5 GiB", func(t *testing.T) { overtakes(t, 5<<30) })
	}
	if !t.Failed() {
		t.Logf("soak large: %d done", times)
	}
}

// many makes a tree of small files, a thousand to a directory.
func many(t testing.TB, dir string, n int) {
	t.Helper()
	for i := range n {
		d := filepath.Join(dir, fmt.Sprintf("directory-%04d", i/1000))
		if i%1000 == 0 {
			must(t, os.MkdirAll(d, 0o755))
		}
		must(t, os.WriteFile(filepath.Join(d, fmt.Sprintf("a file with a usual name %06d.txt", i)), fmt.Appendf(nil, "content of file %d\n", i), 0o644))
	}
}

// killer sends items one after another, and kills either side at random moments.
type killer struct {
	*lab
	rng   *rand.Rand
	want  map[string]map[string]entry
	count int
}

// TestSoakKill is kill -9 of the real programs at random moments, from outside. Everything that was dropped arrives, once and as it was.
func TestSoakKill(t *testing.T) {
	times := soak(t, "ECLUSE_SOAK_KILL")
	l := up(t, options{rate: "300Mbit", passes: 2, apart: "500ms"})
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := &killer{lab: l, rng: rand.New(rand.NewPCG(seed, 0)), want: map[string]map[string]entry{}}
	l.startBoth()
	for n := range times {
		if n%3 == 0 {
			k.item()
		}
		time.Sleep(time.Duration(k.rng.IntN(700)) * time.Millisecond)
		side := l.low
		if k.rng.IntN(2) == 0 {
			side = l.high
		}
		side.kill()
		side.start()
		if n%30 == 29 || n == times-1 {
			k.settle()
		}
	}
	t.Logf("soak kill: %d done, %d items", times, k.count)
}

// item drops one of a size between 1 KiB and 16 MiB, log-uniform, or a small tree.
func (k *killer) item() {
	k.count++
	name := fmt.Sprintf("item %d", k.count)
	p := filepath.Join(k.work(), name)
	if k.rng.IntN(4) == 0 {
		for i := range 1 + k.rng.IntN(200) {
			write(k.t, filepath.Join(p, fmt.Sprintf("d%d", i%7), fmt.Sprint(i)), fmt.Appendf(nil, "%d of %s", i, name))
		}
	} else {
		random(k.t, p, byte(k.count), int64(1024*math.Exp(k.rng.Float64()*math.Log(16<<10))))
	}
	k.want[name] = survey(k.t, p)
	k.drop(p)
}

// settle waits until all that was dropped is imported. What all passes of it were lost of, because the receiver was dead, is sent again as a person would.
func (k *killer) settle() {
	k.t.Helper()
	k.open()
	end := time.Now().Add(3 * time.Minute)
	for again := time.Now().Add(5 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		open := map[string]bool{}
		for name := range k.want {
			open[name] = true
		}
		for _, r := range k.high.list("--state", "imported") {
			delete(open, *r.Name)
		}
		if len(open) == 0 {
			break
		}
		if time.Now().After(end) {
			k.t.Fatalf("not imported: %v", open)
		}
		if time.Now().After(again) {
			again = time.Now().Add(5 * time.Second)
			for _, r := range k.low.list("--state", "sent") {
				if r.Name != nil && open[*r.Name] {
					k.low.ask("resend", r.Bundle)
				}
			}
		}
	}
	for name, want := range k.want {
		p := filepath.Join(k.imports(), name)
		same(k.t, want, survey(k.t, p))
		must(k.t, os.RemoveAll(p))
		delete(k.want, name)
	}
	left, err := os.ReadDir(k.imports())
	must(k.t, err)
	if len(left) > 0 {
		k.t.Fatalf("delivered twice, or never sent: %v", left)
	}
}

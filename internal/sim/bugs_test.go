package sim

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
)

// bugs are builds with one bug each: a harness that cannot fail proves nothing.
var bugs = []struct {
	tag, what, sign string
	from            uint64 // the first seed that is tried: a little before one that has shown it, since to come there takes the time that finding it does not
}{
	{"bug_skiphash", "the SHA-256 of content is not looked at", `import/\S+ ".*" has \d+ bytes that are not the \d+ that were dropped`, 150},
	{"bug_replay", "packets are taken again and again", `\d+ packets were accepted of \d+ different ones`, 1},
	{"bug_fsync", "a delivery has its name before its content is durable", `import/\S+ ".*" has \d+ bytes that are not the \d+ that were dropped`, 45},
	{"bug_shortblock", "a block is taken for complete with a shard too few", `\d+ blocks were taken for complete and did not hold`, 1},
}

// bugTransfers is after how many transfers a bug has to be found: about 400 seeds.
const bugTransfers = "16000"

// Without a bug the same seeds hold: TestTransfers makes more of them.
func TestTransfersFindBugs(t *testing.T) {
	if os.Getenv(transfersVariable) == "" {
		t.Skipf("not a soak: it builds the test four times, and %s asks for it", transfersVariable)
	}
	for _, bug := range bugs {
		t.Run(bug.tag, func(t *testing.T) {
			binary := filepath.Join(t.TempDir(), bug.tag)
			if out, err := exec.Command("go", "test", "-c", "-tags", bug.tag, "-o", binary, ".").CombinedOutput(); err != nil {
				t.Fatalf("build with a bug: %v\n%s", err, out)
			}
			c := exec.Command(binary, "-test.run=^TestTransfers$", "-test.v", "-sim.first", fmt.Sprint("-sim.from=", bug.from))
			c.Env = append(os.Environ(), transfersVariable+"="+bugTransfers)
			out, err := c.CombinedOutput()
			found := regexp.MustCompile(`seed (\d+) does not hold:\n\s*(` + bug.sign + `)`).FindSubmatch(out)
			if err == nil || found == nil {
				t.Fatalf("%s, and %s transfers do not show it (%v):\n%s", bug.what, bugTransfers, err, out[max(0, len(out)-4<<10):])
			}
			t.Logf("%s: found by seed %s: %s", bug.what, found[1], found[2])
		})
	}
}

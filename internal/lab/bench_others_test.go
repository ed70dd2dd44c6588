package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ecluse/internal/udp"
)

// bare is a lab without sides: others use its link.
func (m *meter) bare(mtu int, offload bool) *lab {
	m.Helper()
	l := &lab{t: m.T, name: fmt.Sprintf("ecl%d-%d", os.Getpid()%100000, labs.Add(1))}
	env := []string{"OFFLOAD=off"}
	if offload {
		env[0] = "OFFLOAD=on"
	}
	l.script(env, "up", fmt.Sprint(mtu), "0")
	m.Cleanup(l.down)
	return l
}

// blastVariable has a process of this test be one end of a blast: "send MTU" or "receive".
const blastVariable = "ECLUSE_BENCH_BLAST"

// blastFor is how long each blast is counted.
const blastFor = 2 * time.Second

// blasted is what the receiving end of one says.
type blasted struct {
	Bytes int64
	Took  time.Duration
}

// blast is the ceiling of the link: datagrams of one size, as fast as the system takes them, that nobody opens or keeps. It gives what arrives, in Gbit/s.
func (m *meter) blast(mtu int, offload bool) (rates []float64) {
	l := m.bare(mtu, offload)
	defer l.down()
	for range m.repeat {
		receiver := l.self("high", "receive")
		var out bytes.Buffer
		receiver.Stdout = &out
		sender := l.self("low", fmt.Sprintf("send %d", mtu))
		if err := receiver.Start(); err != nil {
			m.Fatal(err)
		}
		time.Sleep(200 * time.Millisecond)
		if text, err := sender.CombinedOutput(); err != nil {
			m.Fatalf("blast: %v\n%s", err, text)
		}
		if err := receiver.Wait(); err != nil {
			m.Fatalf("blast: %v\n%s", err, out.Bytes())
		}
		var b blasted
		if err := json.NewDecoder(&out).Decode(&b); err != nil {
			m.Fatalf("blast: %v\n%s", err, out.Bytes())
		}
		rates = append(rates, 8*float64(b.Bytes)/b.Took.Seconds()/1e9)
	}
	return rates
}

// self is this test as another process, on one side of the lab.
func (l *lab) self(side, role string) *exec.Cmd {
	c := exec.Command("ip", "netns", "exec", l.name+"-"+side, os.Args[0], "-test.run=^TestBlast$")
	c.Env = append(os.Environ(), blastVariable+"="+role)
	return c
}

// TestBlast is one end of a blast.
func TestBlast(t *testing.T) {
	role := os.Getenv(blastVariable)
	at := netip.MustParseAddrPort("10.77.0.2:4601")
	var mtu int
	if n, _ := fmt.Sscanf(role, "send %d", &mtu); n == 1 {
		s, err := udp.Dial(udp.SenderOptions{To: at})
		if err != nil {
			t.Fatal(err)
		}
		segment := mtu - 28
		batch := make([]byte, udp.BatchSegments(segment)*segment)
		for end := time.Now().Add(blastFor + time.Second); time.Now().Before(end); {
			if _, err := s.Send(batch, segment); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	if role != "receive" {
		t.Skip("it is for the processes that the benchmark starts")
	}
	r, err := udp.Listen(udp.ReceiverOptions{Listen: at})
	if err != nil {
		t.Fatal(err)
	}
	views := make([]udp.View, 64)
	for i := range views {
		views[i].Mem = make([]byte, 64<<10)
	}
	var b blasted
	var began time.Time
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		n, err := r.ReceiveInto(views)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 && b.Bytes > 0 {
			break
		}
		if n > 0 && began.IsZero() {
			began = time.Now()
			end = began.Add(blastFor)
		}
		for _, v := range views[:n] {
			b.Bytes += int64(v.N)
		}
	}
	b.Took = time.Since(began)
	if err := json.NewEncoder(os.Stdout).Encode(b); err != nil {
		t.Fatal(err)
	}
}

// udpcast is another tool's best: 1 GiB in memory through the same link, intact, without and with its error correction. It writes what comes as it comes, and neither seals, signs
// nor checks it.
func (m *meter) udpcast(mtu int, name string) {
	for _, tool := range []string{"udp-sender", "udp-receiver"} {
		if _, err := exec.LookPath(tool); err != nil {
			fmt.Printf("SKIPPED: %s is not here (package udpcast)\n", tool)
			return
		}
	}
	l := m.bare(mtu, true)
	defer l.down()
	l.loud = true // its broadcasts come back to it within its own host
	// It sends to the broadcast address, and its receiver ends when it may not answer. Nothing comes back all the same: the low side's rules stay.
	output(m.T, "ip", "netns", "exec", l.name+"-high", "nft", "delete", "table", "netdev", "ecluse_receiver")
	for side, address := range map[string]string{"low": "10.77.0.1/24", "high": "10.77.0.2/24"} {
		for _, args := range []string{"address del " + address + " dev diode", "address add " + address + " broadcast + dev diode", "link set diode arp on"} {
			output(m.T, "ip", append([]string{"-n", l.name + "-" + side}, strings.Fields(args)...)...)
		}
	}
	dir := m.inMemory()
	defer os.RemoveAll(dir)
	content := filepath.Join(dir, "content")
	random(m.T, content, 9, 1<<30)
	for _, fec := range []string{"", "8x8/128"} {
		f := figure{What: name, Unit: "Gbit/s"}
		if fec != "" {
			f.What += ", FEC " + fec
		}
		for _, rate := range []string{"", "6000m", "4000m", "3000m", "2500m", "2000m", "1800m", "1600m", "1400m", "1200m", "1000m", "800m", "600m", "400m"} {
			if f.Values = l.cast(m, content, mtu, fec, rate); len(f.Values) == m.repeat {
				f.Note = "no limit"
				if rate != "" {
					f.Note = "at " + rate
				}
				break
			}
			f.Values = nil
		}
		m.add(f)
	}
}

// castPort is one that the link's rules let through; it uses the one after it too.
const castPort = "4602"

// cast has udpcast carry a file as often as is asked for, as long as it arrives, and gives its rates. Its wait before the start is not counted.
func (l *lab) cast(m *meter, content string, mtu int, fec, rate string) (rates []float64) {
	for range m.repeat {
		into := content + ".out"
		ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
		receiver := exec.CommandContext(ctx, "ip", "netns", "exec", l.name+"-high", "udp-receiver", "--nosync", "--nokbd", "--portbase", castPort, "--rcvbuf", "8388608",
			"--start-timeout", "15", "--receive-timeout", "5", "--interface", "diode", "--file", into)
		block := fmt.Sprint(mtu - 44)
		args := []string{"netns", "exec", l.name + "-low", "udp-sender", "--async", "--nokbd", "--portbase", castPort, "--blocksize", block, "--autostart", "2",
			"--rexmit-hello-interval", "200", "--ttl", "1", "--broadcast", "--interface", "diode", "--file", content}
		if fec != "" {
			args = append(args, "--fec", fec)
		}
		if rate != "" {
			args = append(args, "--max-bitrate", rate)
		}
		m.warm()
		if err := receiver.Start(); err != nil {
			m.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		sender := &starting{}
		cmd := exec.CommandContext(ctx, "ip", args...)
		cmd.Stdout, cmd.Stderr = sender, sender
		err := cmd.Start()
		if err == nil {
			time.Sleep(time.Second) // of the two that it waits itself
			m.warm()
			err = cmd.Wait()
		}
		took := time.Since(sender.began)
		_ = receiver.Wait() // it says by its file what it got
		cancel()
		if err != nil {
			m.Logf("udp-sender %s: %v\n%s", rate, err, sender.text.Bytes())
			return nil
		}
		if exec.Command("cmp", "-s", content, into).Run() != nil {
			return rates
		}
		rates = append(rates, gib/1e9/took.Seconds())
	}
	return rates
}

// starting is what udp-sender says, and when it said that it begins.
type starting struct {
	text  bytes.Buffer
	began time.Time
}

func (s *starting) Write(b []byte) (int, error) {
	if s.began.IsZero() && bytes.Contains(b, []byte("Starting transfer")) {
		s.began = time.Now()
	}
	return s.text.Write(b)
}

// percentile adds one of many latencies, in milliseconds.
func (m *meter) percentile(what string, values []float64, p int, must, aim float64) {
	sorted := append([]float64(nil), values...)
	slices.Sort(sorted)
	m.add(figure{What: what, Unit: "ms", Values: []float64{sorted[min(len(sorted)-1, len(sorted)*p/100)]}, Must: &must, Aim: &aim, Note: fmt.Sprintf("of %d items", len(values))})
}

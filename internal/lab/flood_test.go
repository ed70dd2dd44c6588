package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"ecluse/internal/udp"
	"ecluse/protocol/packet"
)

// floodPort is where the receiver of a lab listens.
const floodPort = 4600

// On the real programs: somebody on the low network records what the sender sends, and then sends it again whole, cut, with bits flipped, and its
// announcements counted up, as fast as the machine goes, while an item crosses with about 20 % parity. Nothing of it is accepted, memory stays, the item is imported or
// damaged with its loss counted, and the next one comes through when the flood is over.
func TestSoakSiege(t *testing.T) {
	n := soak(t, "ECLUSE_SOAK_SIEGE")
	for i := range n {
		t.Run(fmt.Sprint("round ", i), siege)
	}
	t.Logf("soak siege: %d done", n)
}

func siege(t *testing.T) {
	const count = 1_000_000
	l := up(t, options{rate: "100Mbit", stated: "11%", passes: 1})
	l.startBoth()
	l.open()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	flooder := exec.Command("ip", "netns", "exec", l.low.ns, self, "-test.run", "^TestFlooder$", "-test.v")
	flooder.Env = append(os.Environ(), "ECLUSE_FLOODER="+strconv.Itoa(count))
	var said bytes.Buffer
	flooder.Stdout, flooder.Stderr = &said, &said
	if err := flooder.Start(); err != nil {
		t.Fatal(err)
	}
	random(t, filepath.Join(l.work(), "item"), 1, 32<<20)
	content, err := os.ReadFile(filepath.Join(l.work(), "item"))
	if err != nil {
		t.Fatal(err)
	}
	l.drop(filepath.Join(l.work(), "item"))
	if err := flooder.Wait(); err != nil || !strings.Contains(said.String(), "flooded") {
		t.Fatalf("the flooder: %v\n%s", err, said.String())
	}
	l.within(2*time.Minute, "the sender's last pass", func() bool { r := l.low.find("item"); return r != nil && r.State == "sent" })
	var end *row
	l.within(90*time.Second, "an end of the item", func() bool { // by its id: of a damaged one the name may be lost
		for _, r := range l.high.list() {
			if r.State == "imported" || r.State == "damaged" || r.State == "missing" {
				end = &r
				return true
			}
		}
		return false
	})
	write(t, filepath.Join(l.work(), "after"), content)
	l.drop(filepath.Join(l.work(), "after"))
	l.high.reach(time.Minute, "after", "imported")
	for _, name := range []string{"item", "after"} {
		if r := l.high.find(name); r != nil && r.State == "imported" {
			if got, err := os.ReadFile(filepath.Join(l.imports(), name)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s is imported and is not what was sent: %v", name, err)
			}
		}
	}
	t.Logf("%sthe item is %s; the receiver took %d MiB at most", lastLine(said.String()), end.State, l.high.peak()>>20)
	if peak := l.high.peak(); peak > 300<<20 {
		t.Errorf("the receiver took %d MiB", peak>>20)
	}
	refused := map[string]uint64{}
	for _, s := range l.high.sessions() {
		if s.Reason != nil {
			refused[*s.Reason] += s.Count
		}
	}
	if rows := l.high.sessions(); len(rows) > 6 || refused["session-signature"]+refused["session-rate"] == 0 {
		t.Errorf("sessions: %+v", rows)
	}
	for _, r := range l.high.list() {
		if r.Name != nil && !slices.Contains([]string{"item", "after"}, *r.Name) {
			t.Errorf("%q came, and nobody sent it", *r.Name)
		}
	}
}

func lastLine(text string) (line string) {
	for s := range strings.Lines(text) {
		if strings.Contains(s, "flooded") {
			line = strings.TrimSpace(s) + "; "
		}
	}
	return line
}

// TestFlooder is the other program of TestSoakSiege, inside the low namespace: it records, and then floods.
func TestFlooder(t *testing.T) {
	count, err := strconv.Atoi(os.Getenv("ECLUSE_FLOODER"))
	if err != nil {
		t.Skip("part of TestSoakSiege")
	}
	announcements, data := recorded(t)
	out, err := udp.Dial(udp.SenderOptions{To: netip.AddrPortFrom(netip.MustParseAddr("10.77.0.2"), floodPort)})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	rng := rand.New(rand.NewPCG(7, 7))
	size := len(data[0])
	batch := func(change func(i int, p []byte)) []byte {
		var all []byte
		for i := range udp.BatchSegments(size) {
			p := slices.Clone(data[i%len(data)])
			change(i, p)
			all = append(all, p...)
		}
		return all
	}
	kinds := [][]byte{
		batch(func(int, []byte) {}),
		batch(func(_ int, p []byte) { p[4] ^= 0x10; p[4+rng.IntN(len(p)-4)] ^= 1 << rng.IntN(8) }), // other numbers: the window does not see them first
		batch(func(_ int, p []byte) { p[1] ^= byte(1 + rng.IntN(255)) }),
		batch(func(_ int, p []byte) {
			for i := 16; i < len(p); i++ {
				p[i] = byte(rng.Uint32())
			}
			p[4] ^= 0x20
		}),
	}
	forged, number := bytes.Repeat(announcements[0], 40), binary.BigEndian.Uint64(announcements[0][packet.HeaderSize:])
	sent, began := 0, time.Now()
	send := func(b []byte, segment int) {
		if _, err := out.Send(b, segment); err != nil {
			t.Fatal(err)
		}
		sent += len(b) / segment
	}
	for sent < count {
		for _, k := range kinds {
			send(k, size)
		}
		send(kinds[0][:size-1-rng.IntN(64)], size) // truncated
		for at := packet.HeaderSize; at < len(forged); at += len(announcements[0]) {
			number++
			binary.BigEndian.PutUint64(forged[at:], number)
		}
		send(forged, len(announcements[0]))
		send(announcements[len(announcements)-1], len(announcements[0]))
	}
	fmt.Printf("flooded with %d datagrams in %v by %s\n", sent, time.Since(began).Round(time.Millisecond), out.Mode())
}

// recorded listens to what leaves this namespace towards the receiver, until there is an announcement and some data.
func recorded(t *testing.T) (announcements, data [][]byte) {
	t.Helper()
	all := int(binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff}))
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM, all)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 30}); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 1<<16)
	for len(announcements) < 1 || len(data) < 100 {
		n, err := unix.Read(fd, buffer)
		if errors.Is(err, unix.EINTR) { // a read with a time limit is not taken up again by the kernel after a signal, and the runtime sends itself some
			continue
		}
		if err != nil {
			t.Fatalf("%d announcements and %d packets heard: %v", len(announcements), len(data), err)
		}
		ip := buffer[:n]
		if n < 28 || ip[0]>>4 != 4 || ip[9] != unix.IPPROTO_UDP {
			continue
		}
		datagram := ip[int(ip[0]&15)*4+8:]
		if binary.BigEndian.Uint16(ip[int(ip[0]&15)*4+2:]) != floodPort {
			continue
		}
		switch kind, _, err := packet.Classify(datagram); {
		case err != nil:
		case kind == packet.KindAnnounce:
			announcements = append(announcements, slices.Clone(datagram))
		case len(data) == 0 || len(datagram) == len(data[0]):
			data = append(data, slices.Clone(datagram))
		}
	}
	return announcements, data
}

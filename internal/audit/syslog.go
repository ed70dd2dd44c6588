package audit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"
)

// log/syslog waits for ever where nobody reads the socket, and the end of a daemon with it. So a message is written here, in the form that is used on a machine's own socket:
//
//	<29>Nov 28 18:00:00 ecluse-audit[4711]: audit checkpoint ORIGIN ENTRIES ROOT NOTE
//
// 29 is facility daemon, severity notice.
const (
	syslogHead = "<29>%s ecluse-audit[%d]: %s\n"
	syslogMost = 2 * time.Second // for all of it: a daemon has five seconds to end
)

// syslogSockets are where a machine's syslog listens.
var syslogSockets = [...]string{"/dev/log", "/var/run/syslog", "/var/run/log"}

// toSyslog sends one line, to a socket or to the first of the machine's that takes it.
func toSyslog(socket, line string) (err error) {
	sockets := syslogSockets[:]
	if socket != "" {
		sockets = []string{socket}
	}
	text := fmt.Sprintf(syslogHead, time.Now().Format(time.Stamp), os.Getpid(), line)
	until := time.Now().Add(syslogMost)
	for _, path := range sockets {
		for _, network := range []string{"unixgram", "unix"} {
			one := send(network, path, text, until)
			if one == nil {
				return nil
			}
			err = errors.Join(err, one)
		}
	}
	return err
}

func send(network, path, text string, until time.Time) error {
	d := net.Dialer{Deadline: until}
	c, err := d.Dial(network, path)
	if err != nil {
		return err
	}
	err = c.SetWriteDeadline(until)
	if err == nil {
		_, err = c.Write([]byte(text))
	}
	return errors.Join(err, c.Close())
}

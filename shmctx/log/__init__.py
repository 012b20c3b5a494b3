"""The files of the event log: a directory of segments, JSON lines, one event a line.

    00000007.2026-03-01.jsonl.zst    a rotated segment, compressed in the zstd seekable format
    00000008.2026-03-02.jsonl        rotated, to be compressed
    00000009.2026-03-02.jsonl        the newest: one process appends to it
    current.jsonl                    a link to the newest, for `tail -F`

The name is the segment's number, from 1, and the UTC day of its first event. A line's place is the segment's number and
the byte offset in its uncompressed text; compression, blanking and reading leave it as it is. The database knows the
places, and how far the newest segment is committed (`writer.LogTail`); the files alone know neither.

Who may change what, without a server: appending is the leader's, under a flock on the newest segment. Rewriting and
removing are done under a flock on the directory, a new file being renamed over the old one. Readers hold no lock.
"""

struct Meter {
    explicit Meter(int start) : value(start) {}
    int read() const {
        return value;
    }
    int unread() const {
        return -value;
    }
    int value;
};

template <typename T> T larger(T a, T b) {
    if (a > b)
        return a;
    return b;
}

namespace {
template <int N> struct Times {
    static int of(int n) {
        return N * n;
    }
};
}

extern "C" {
int sink;

void program(void) {
    Meter meter(4);
    sink = larger(meter.read(), 3);
    sink += larger(short(4), short(5));
    sink += Times<2>::of(sink);
    if (sink < 0)
        sink = meter.unread() + Times<3>::of(sink);
}
}

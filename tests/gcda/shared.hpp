/* One copy of each of these is linked: the other object has the function without counters. */
template <class T> T smallest(const T *values, unsigned n)
{
    T found = values[0];
    for (unsigned i = 1; i < n; i++)
        if (values[i] < found)
            found = values[i];
    return found;
}

struct Shape {
    virtual ~Shape() {}
    virtual int area(int x) const { return x; }
};

inline int common(int x) { return x > 3 ? x - 3 : x; }

#include "shared.hpp"
#include <cstdlib>

int other(int n);

struct Square : Shape {
    int area(int x) const override { return x * x; }
};

volatile int sink;

int main(int argc, char **argv)
{
    int n = argc > 1 ? std::atoi(argv[1]) : 1;
    int values[] = { 3, n, 2 };
    Square square;
    Shape shape;
    for (int i = 0; i < 10 * n; i++) {
        const Shape &any = i % 3 ? static_cast<const Shape &>(square) : shape;
        sink = any.area(i) + common(i);
    }
    sink = smallest(values, 3) + other(n);
}

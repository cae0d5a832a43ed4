"""A page of plain prose, written for this project, about nobody in particular."""

PROSE = """\
The river comes down from the hills in a narrow valley and slows where the land opens. In spring \
it carries melted snow, and the meadows on both banks stand under water for a week or two. When \
the water has gone, the grass grows quickly, and the first flowers appear along the ditches. The \
farmers wait until the ground is firm before they drive the cattle out, because a wet field is \
soon ruined by heavy feet.

The village lies on a low ridge above the meadows. Its oldest building is a mill, which has not \
ground corn for sixty years. The wheel was taken away long ago, but the channel that fed it can \
still be followed through the gardens. A bakery uses the ground floor now. Its oven is lit at \
three in the morning, and by six the smell of bread reaches the bridge.

Most of the houses were built of the grey stone that was cut from a quarry behind the church. \
The stone is soft when it is fresh and hardens as it dries, so that the old masons could carve it \
with simple tools. Rain has rounded the edges of the window sills. Where the walls face north, \
moss grows in the joints, and small ferns find a hold in the shade.

A railway line was opened in the last years of the century before. It brought coal, letters and \
visitors, and it took away milk and timber. For a while there was talk of a second track. Then \
the road was improved, lorries took over the goods, and the station became a quiet place where \
two trains stop in an hour. The waiting room is heated in winter, and someone has put a shelf of \
books there for those who must change.

Weather is the usual subject of conversation. The hills catch the clouds, and it may rain in the \
valley while the plain is dry. People say that a red sky in the evening means a fine day to come, \
and they are right about as often as the forecast. In autumn the mist fills the valley at night \
and lifts at about ten. From the ridge it looks like a lake, with the tops of the poplars as \
islands.

The school has forty pupils and two classrooms. Once a year the older ones measure the depth of \
the river at the bridge, as pupils have done since a teacher began it as an exercise in \
arithmetic. The figures are written in a long book. They show that the river bed has risen by \
the width of a hand, that the highest flood came in a year nobody remembers, and that the driest \
summer was not so long ago. A scientist from the university came to copy the book, and said that \
few rivers of that size had been measured with so much patience.

On the first Saturday of the month a market is held on the square. It sells vegetables, cheese, \
tools, cloth and, before the holidays, young trees. The stalls are put up at dawn and are gone by \
the middle of the afternoon. Afterwards the square is swept, the pigeons come down from the roof \
of the town hall, and the fountain, which nobody can hear while the market lasts, is heard again.
"""
